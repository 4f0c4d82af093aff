"""`socratic ask`: trained students solve a problem while one looks on, or many problems, as rows of JSON."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from rich.console import Console

from socratic_distill.app.unfolding import Unfolding, print_line, print_solution
from socratic_distill.engines import Engine
from socratic_distill.engines.casting import settled, student_engine
from socratic_distill.engines.driver import drive
from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import told
from socratic_distill.reasoning.solving import dialogue_of, sampling_of, strategy_of
from socratic_distill.reasoning.strategies import STRATEGIES
from socratic_distill.reasoning.voting import stated_answer
from socratic_distill.recipe import Solve
from socratic_distill.records import AnswerKind, Problem, Record, Solution, Turn
from socratic_distill.run import Progress
from socratic_distill.settings import read_settings
from socratic_distill.students import MANIFEST, Bases


class AskSettings(Solve):
    """What `--set` may change: a `[solve.<name>]` of trained students on this machine, and the answers to be read."""

    calculator: bool = True
    trained: Literal[True] = True
    executor: Literal["local"] = "local"
    answer_kind: AnswerKind = "number"
    choices: tuple[str, ...] = ()
    """Of every problem, where `answer_kind` is `choice`."""


class AskedRow(Record):
    """What standard output has of one line of standard input."""

    line: int
    """Its number, from 1."""
    question: str
    answer: str = ""
    unreadable: str = ""
    """Why there is no answer: `empty_problem`, or as in a `Score`."""
    solution: Solution | None = None
    """None where nobody was asked."""
    turns: tuple[Turn, ...] = ()
    """Every ask, with its tokens."""


def ask(students: Path, question: str, *, overrides: Sequence[str], console: Console, progress: Progress) -> None:
    """Let students solve one problem and print their dialogue as it unfolds, then the answer.

    Samples are written side by side, so of those the one is printed that is taken, once all have voted. Raises
    UserError where the students or the settings can't be had.
    """
    _check_text(question)
    folder, settings = chosen(students, overrides)
    with engines_of(folder, settings, progress) as engines:
        print_asked(question, settings, engines, console=console)


def ask_all(students: Path, source: BinaryIO, target: TextIO, *, overrides: Sequence[str], progress: Progress) -> None:
    """Let students solve the problems of `source`, one a line, and write a row for each, in their order.

    Raises UserError where `source` is not UTF-8 or has no line, before a student is loaded.
    """
    folder, settings = chosen(students, overrides)
    if source.isatty():
        progress.say("reads problems, one a line, until Ctrl-D")
    questions = read_questions(source)
    try:
        with engines_of(folder, settings, progress) as engines:
            for row in answered_rows(questions, settings, engines, progress=progress):
                target.write(row.model_dump_json() + "\n")
                target.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UserError("nobody reads the rows any more; stopped") from None


def chosen(
    students: Path, overrides: Sequence[str], *, given: Mapping[str, Any] | None = None
) -> tuple[Path, AskSettings]:
    """Return the folder of the students and how they are to be asked: by `socratic_iterative` where they can.

    `given` is what the overrides change, such as a recipe's solve. Raises UserError where no students are there, or not
    those that the strategy asks.
    """
    folder = students / "students" if (students / "students").is_dir() else students
    there = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    if not there:
        raise UserError(
            f"no students in {folder}; name a run folder whose students are trained, such as runs/quickstart"
        )
    names = ("socratic_iterative", *reversed(STRATEGIES))
    possible = [name for name in dict.fromkeys(names) if set(STRATEGIES[name].students) <= set(there)]
    strategy = {"strategy": possible[0]} if possible else {}
    settings = read_settings(AskSettings, overrides, given={**strategy, **(given or {})})
    for setting in ("oracle", "prompted"):
        if getattr(settings, setting) is not None:
            raise UserError(f"{setting} can't be had here: trained students alone are asked, and there is nothing gold")
    missing = [student for student in strategy_of(settings).students if not (folder / student).is_dir()]
    if missing:
        can = f"choose with --set strategy=NAME from {', '.join(possible)}" if possible else "train them first"
        raise UserError(f"{settings.strategy} asks a {missing[0]}, and {folder} has only {', '.join(there)}; {can}")
    return folder, settings


@contextmanager
def engines_of(folder: Path, settings: AskSettings, progress: Progress) -> Iterator[dict[str, Engine]]:
    """Load the students that a strategy asks, by name."""
    sources = {student: str(folder / student) for student in strategy_of(settings).students}
    solve = settled(settings, list(sources.values()))
    with ExitStack() as opened:
        engines: dict[str, Engine] = {}
        bases: Bases = {}
        for student, source in sources.items():
            progress.say(f"loads {student}, engine {solve.engine}")
            engines[student] = engine = student_engine(source, student, solve, bases=bases, say=progress.say)
            if isinstance(engine, AbstractContextManager):
                opened.enter_context(engine)
        yield engines


def print_asked(question: str, settings: AskSettings, engines: Mapping[str, Engine], *, console: Console) -> None:
    """Solve one problem and print its dialogue, the votes and the answer."""
    problem, strategy = _problem(question, settings), strategy_of(settings)
    unfolding = Unfolding(console, calculator=settings.calculator)
    dialogue = dialogue_of(problem, strategy, settings, "none")
    if settings.samples is None:
        dialogue = told(dialogue, unfolding.tell)
    [finished] = drive([("1", dialogue)], engines, sampling=sampling_of(settings))
    unfolding.close()
    solution = finished.result
    if settings.samples is not None:
        print_solution(console, solution)
        counts = Counter(solution.votes or ()).most_common()
        print_line(console, "votes", ", ".join(f"{answer or 'unreadable'}: {count}" for answer, count in counts))
    answer, reason = stated_answer(problem, solution)
    print_line(console, "answer", f"none, for {reason.replace('_', ' ')}" if answer is None else answer)


def answered_rows(
    questions: Sequence[str], settings: AskSettings, engines: Mapping[str, Engine], *, progress: Progress
) -> Iterator[AskedRow]:
    """Solve problems, a window of them at once, and yield their rows in order, each once all before it have ended."""
    strategy = strategy_of(settings)
    asked = {str(line): _problem(text, settings) for line, text in enumerate(questions, 1) if text.strip()}
    dialogues = ((key, dialogue_of(problem, strategy, settings, "none")) for key, problem in asked.items())
    ended = drive(dialogues, engines, sampling=sampling_of(settings), window=settings.window)
    waiting: dict[int, AskedRow] = {}
    with progress.track("ask", len(asked)) as track:
        for line, text in enumerate(questions, 1):
            if not text.strip():
                yield AskedRow(line=line, question=text, unreadable="empty_problem")
                continue
            while line not in waiting:
                finished = next(ended)
                answer, reason = stated_answer(asked[finished.key], finished.result)
                place = int(finished.key)
                waiting[place] = AskedRow(
                    line=place,
                    question=questions[place - 1],
                    answer=answer or "",
                    unreadable=reason if answer is None else "",
                    solution=finished.result,
                    turns=finished.turns,
                )
                track.advance(1, f"{sum(turn.tokens for turn in finished.turns)} tokens")
            yield waiting.pop(line)


def read_questions(source: BinaryIO) -> list[str]:
    """Read problems, one a line. Raises UserError where there is none, or a line is not UTF-8."""
    questions = []
    for number, line in enumerate(source.read().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), 1):
        try:
            questions.append(line.decode("utf-8").rstrip("\r"))
        except UnicodeDecodeError as error:
            raise UserError(f"standard input, line {number}: not UTF-8 text ({error.reason})") from None
    if not any(question.strip() for question in questions):
        raise UserError("standard input has no problem; write one a line, or name it after the students")
    return questions


def _check_text(question: str) -> None:
    if not question.strip():
        raise UserError('the problem is empty; write it after the students, as in: socratic ask runs/own "a problem"')
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:  # how Python reads an argument's other bytes
        raise UserError("the problem is not UTF-8 text") from None


def _problem(question: str, settings: AskSettings) -> Problem:
    return Problem(
        id="asked",
        split="test",
        question=question,
        answer="",
        answer_kind=settings.answer_kind,
        choices=settings.choices,
    )
