"""A student, or a pair, as a model of lm-evaluation-harness: it writes, and scores no text that others wrote.

The question comes from an instance's document; the context that a task renders, exemplars and all, is not read.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Never

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from rich.console import Console

from socratic_distill.app.ask import AskSettings, chosen, engines_of
from socratic_distill.app.harness.documents import problem_of
from socratic_distill.app.progress import ConsoleProgress
from socratic_distill.artifacts import appending, fingerprint, read_manifest, read_rows, write_manifest
from socratic_distill.engines.casting import settled
from socratic_distill.engines.driver import drive
from socratic_distill.errors import UserError
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.reasoning.solving import dialogue_of, sampling_of, strategy_of
from socratic_distill.reasoning.strategies import Facts, shown
from socratic_distill.recipe import SOLVE_WITHOUT_EFFECT, Recipe, load_recipe
from socratic_distill.records import Problem, SolutionRow
from socratic_distill.run import Progress

FOLDER = "harness"
"""Where in a run folder the solved documents lie: `harness/<solve>-<fingerprint of its settings>.jsonl`."""

_NOT_USED = ("batch_size", "max_batch_size", "device")
_HERE: Any = {"trained", "executor", "actors"}


@register_model("socratic")
class SocraticLM(LM):  # type: ignore[misc]  # the harness is untyped
    """Solves each document by our own driver and engines, as a solve of a run says.

    A document is answered by the final solution's raw text, which ends in `#### ANSWER`: a whole chain of thought, or
    the pair's last step. What is solved is appended as it ends, keyed by content, and never solved again.
    """

    def __init__(
        self,
        run: str = "",
        solve: str = "",
        *,
        progress: Progress | None = None,
        **settings: object,
    ) -> None:
        """Choose the students of `run` and how they solve: as the recipe's `solve`, else as `socratic ask` would.

        `settings` are those of a `[solve.<name>]`, and `answer_kind`. The harness's batch size and device, which come
        with them, are not used: `window` and the engine say that. Raises UserError where students or settings can't be
        had.
        """
        super().__init__()
        if not run:
            raise UserError("name a run folder and a solve: --model_args run=runs/svamp,solve=socratic_iterative")
        recipe = load_recipe(Path(run, "recipe.toml")) if solve else None
        changed = {name: value for name, value in settings.items() if name not in _NOT_USED}
        self.settings, self._students = _settings(Path(run), recipe, solve, changed)
        self._facts: Facts = self.settings.facts or (recipe.train.facts if recipe else "none")
        self._progress = progress or ConsoleProgress(Console(stderr=True))
        self._made_from = {
            f"students/{student}": _weights(self._students / student) for student in strategy_of(self.settings).students
        }
        self._says = {
            **self.settings.model_dump(
                mode="json", exclude={**SOLVE_WITHOUT_EFFECT, "answer_kind": True, "choices": True}, exclude_none=True
            ),
            "facts": self._facts,
            "prompt_version": PROMPT_VERSION,
        }
        self._stamp = fingerprint([self._says, self._made_from])
        root = self._students.parent if self._students.name == "students" else self._students
        self.path = root / FOLDER / f"{solve or self.settings.strategy}-{self._stamp[:8]}.jsonl"

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Solve the documents of some instances and return each one's final solution text, in order.

        What a task says of sampling and stopping is not used: the solve says it. Raises UserError for a document
        without a question.
        """
        problems = [
            problem_of(request.doc, answer_kind=self.settings.answer_kind, choices=self.settings.choices)
            for request in requests
        ]
        keys = [fingerprint([self._stamp, shown(one, self._facts).model_dump(mode="json")]) for one in problems]
        rows = self._solved(dict(zip(keys, problems, strict=True)))
        return [rows[key].solution.text for key in keys]

    def loglikelihood(self, requests: Sequence[Instance]) -> Never:
        """Refuse: students only write."""
        raise _only_writes()

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> Never:
        """Refuse: students only write."""
        raise _only_writes()

    def _solved(self, problems: Mapping[str, Problem]) -> Mapping[str, SolutionRow]:
        """Return the rows of problems by their key, solving those that were not before."""
        rows = {row.key: row for row in read_rows(self.path, SolutionRow)}
        waiting = {key: problem for key, problem in problems.items() if key not in rows}
        if waiting:
            progress = self._progress.track("solve", len(problems), done=len(problems) - len(waiting))
            with appending(self.path) as appender, progress as track:
                for row in self._newly_solved(waiting):
                    appender.append(row)
                    rows[row.key] = row
                    track.advance(1, f"{sum(turn.tokens for turn in row.turns)} tokens")
        if waiting or read_manifest(self.path) is None:
            facts = {"rows": len(rows), "seconds": round(sum(row.seconds for row in rows.values()), 1)}
            write_manifest(self.path, settings=self._says, inputs=self._made_from, facts=facts)
        return rows

    def _newly_solved(self, waiting: Mapping[str, Problem]) -> Iterator[SolutionRow]:
        strategy = strategy_of(self.settings)
        dialogues = (
            (key, dialogue_of(problem, strategy, self.settings, self._facts)) for key, problem in waiting.items()
        )
        with engines_of(self._students, self.settings, self._progress) as engines:
            last = time.monotonic()
            for ended in drive(dialogues, engines, sampling=sampling_of(self.settings), window=self.settings.window):
                now = time.monotonic()
                yield SolutionRow(
                    key=ended.key,
                    problem=waiting[ended.key].id,
                    solution=ended.result,
                    turns=ended.turns,
                    seconds=round(now - last, 4),
                )
                last = now


def _settings(run: Path, recipe: Recipe | None, solve: str, changed: Mapping[str, object]) -> tuple[AskSettings, Path]:
    """Return how the students are asked, every `auto` settled, and where they lie."""
    overrides = [f"{name}={_written(value)}" for name, value in changed.items()]
    given: Mapping[str, Any] = {}
    if recipe is not None:
        if solve not in recipe.solve:
            raise UserError(f"the recipe of {run} has no solve {solve!r}; choose one of {', '.join(recipe.solve)}")
        chosen_solve = recipe.solve[solve]
        if not chosen_solve.trained:
            raise UserError(f"solve {solve!r} asks untrained students; the harness's own model `hf` measures those")
        given = chosen_solve.model_dump(exclude=_HERE, exclude_none=True)
    try:
        students, settings = chosen(run, overrides, given=given)
    except UserError as error:
        raise UserError(str(error).replace("--set", "--model_args", 1)) from None
    sources = [str(students / student) for student in strategy_of(settings).students]
    known = settled(settings, sources)
    return settings.model_copy(update={"engine": known.engine, "precision": known.precision}), students


def _weights(student: Path) -> str:
    manifest = read_manifest(student)
    if manifest is None:
        raise UserError(f"{student} is not a whole student; train it again: socratic train")
    return str(manifest["weights"])


def _written(value: object) -> str:
    """Write a value, as the harness has read it, for a setting to be read from."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _only_writes() -> UserError:
    return UserError(
        "students write, they give no likelihood of others' texts: choose tasks of the kind generate_until, "
        "such as socratic_gsm8k"
    )
