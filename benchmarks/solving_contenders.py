"""The contenders of `solving.py`, each a process of its own: CONTENDER WORK writes WORK/CONTENDER.json.

They solve the same problems by the same dialogues with the same trained pair; only who runs the models differs. The
contender `bound` solves nothing: it reads and writes as many tokens as `openvino` did.
"""

import io
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from socratic_distill.app.unfolding import Unfolding
from socratic_distill.engines.casting import student_engine
from socratic_distill.engines.driver import drive
from socratic_distill.machine import compute_dtype, device
from socratic_distill.reasoning.dialogue import Ask, Dialogue, told
from socratic_distill.reasoning.strategies import named_strategy
from socratic_distill.recipe import Solve
from socratic_distill.records import Completion, Problem, Prompt, Sampling, Solution, Turn
from socratic_distill.stages.evaluate import score
from socratic_distill.students import Encoder, load_tokenizer

STRATEGY = named_strategy("socratic_iterative")
SAMPLING = Sampling(max_tokens=320)
TOGETHER = 64
"""Problems of a lock-step batch, and sequences that the bound writes at a time."""

Solved = tuple[str, Solution, Sequence[Turn]]
"""A problem's id, its solution and every ask."""

FIRST: list[float] = []
"""Seconds until the first subquestion of each problem was on the screen, where `ask` asked."""

Contender = Callable[[Sequence[Problem]], list[Solved]]
Work = dict[str, list[tuple[int, int]]]
"""Of each student, the tokens read and written for each problem."""


def main() -> None:
    """Let one contender solve and leave its figures."""
    name, work = sys.argv[1], Path(sys.argv[2])
    students = Path((work / "students").read_text(encoding="utf-8"))
    if name == "bound":
        figures = bound(students, json.loads((work / "openvino.work.json").read_text(encoding="utf-8")))
    else:
        problems = [Problem.model_validate_json(line) for line in (work / f"{name}.problems").read_text().splitlines()]
        if name == "server":
            url = (work / "server").read_text(encoding="utf-8")
            contender = ours(engine="openai", server={"base_url": url, "api": "completions"}, window=128)
        else:
            contender = CONTENDERS[name]
        figures, done = measured(contender(students), problems)
        if name == "ask":
            # The first is the one that warmed up.
            figures["first_subquestion_s"] = statistics.median(FIRST[1:])
        (work / f"{name}.work.json").write_text(json.dumps(done), encoding="utf-8")
    (work / f"{name}.json").write_text(json.dumps(figures), encoding="utf-8")


def measured(solve: Contender, problems: Sequence[Problem]) -> tuple[dict[str, float], Work]:
    """Solve problems and return the figures, and the work of each student."""
    # Warms up on a problem of its own, so that nothing of those measured is kept.
    solve([problems[0].model_copy(update={"id": "warm", "question": "Tom has 2 pens and buys 3. How many has he?"})])
    started = time.monotonic()
    solved = solve(problems)
    seconds = time.monotonic() - started
    by_id = {problem.id: problem for problem in problems}
    correct = sum(score(by_id[id_], solution).correct for id_, solution, _ in solved)
    tokens = sum(turn.tokens for _, _, turns in solved for turn in turns)
    figures = {
        "problems_per_s": len(problems) / seconds,
        "seconds": seconds,
        "problems": len(problems),
        "correct": correct,
        "accuracy": correct / len(problems),
        "tokens": tokens,
        "tokens_per_s": tokens / seconds,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return figures, work_of(solved)


def ours(**settings: Any) -> Callable[[Path], Contender]:
    """Solve as `socratic solve` does."""

    def made(students: Path) -> Contender:
        solve = Solve(strategy=STRATEGY.name, **settings)
        engines = {name: student_engine(str(students / name), name, solve) for name in STRATEGY.students}

        def contender(problems: Sequence[Problem]) -> list[Solved]:
            dialogues = ((problem.id, STRATEGY.dialogue(problem)) for problem in problems)
            finished = drive(dialogues, engines, sampling=SAMPLING, window=solve.window)
            return [(one.key, one.result, one.turns) for one in finished]

        return contender

    return made


def asking(students: Path) -> Contender:
    """Solve one problem at a time, told as it unfolds, as `socratic ask` does; `FIRST` gets the first wait of each."""
    solve = Solve(strategy=STRATEGY.name, engine="openvino", precision="int8")
    engines = {name: student_engine(str(students / name), name, solve) for name in STRATEGY.students}

    def asked(problem: Problem) -> Solved:
        unfolding = Unfolding(Console(file=io.StringIO()), calculator=False)
        started, told_at = time.monotonic(), list[float]()

        def tell(ask: Ask, completion: Completion) -> None:
            unfolding.tell(ask, completion)
            told_at.append(time.monotonic())

        dialogues = [(problem.id, told(STRATEGY.dialogue(problem), tell))]
        [one] = drive(dialogues, engines, sampling=SAMPLING)
        FIRST.append(told_at[0] - started)
        return one.key, one.result, one.turns

    return lambda problems: [asked(problem) for problem in problems]


def research_loop(students: Path) -> Contender:
    """Solve one problem at a time, with `generate` called afresh for each subquestion and each solution."""
    write = generators(students)

    def contender(problems: Sequence[Problem]) -> list[Solved]:
        return [solved for problem in problems for solved in in_rounds([problem], write)]

    return contender


def lockstep(students: Path) -> Contender:
    """Solve batches of problems in whole rounds: all that wait for a student are one left-padded `generate`."""
    write = generators(students)

    def contender(problems: Sequence[Problem]) -> list[Solved]:
        batches = [problems[start : start + TOGETHER] for start in range(0, len(problems), TOGETHER)]
        return [solved for batch in batches for solved in in_rounds(batch, write)]

    return contender


Write = Callable[[str, Sequence[Prompt]], list[Completion]]


def generators(students: Path) -> Write:
    """Load the pair and return what writes for a batch of prompts by `generate`."""
    models, encoders = {}, {}
    for name in STRATEGY.students:
        folder = students / name
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=compute_dtype())
        models[name] = model.to(device()).eval()
        encoders[name] = Encoder(load_tokenizer(str(folder)))

    @torch.inference_mode()
    def write(student: str, prompts: Sequence[Prompt]) -> list[Completion]:
        model, encoder = models[student], encoders[student]
        rows = [encoder.encode(prompt) for prompt in prompts]
        longest = max(map(len, rows))
        pad = encoder.terminator
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=model.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=SAMPLING.max_tokens,
            pad_token_id=pad,
            eos_token_id=pad,
        )
        completions = []
        for row, new in zip(rows, output[:, longest:].tolist(), strict=True):
            ended = pad in new
            text = new[: new.index(pad)] if ended else new
            completions.append(
                Completion(
                    text=encoder.decode(text),
                    finish_reason="end" if ended else "length",
                    prompt_tokens=len(row),
                    tokens=len(text) + ended,
                )
            )
        return completions

    return write


def in_rounds(problems: Sequence[Problem], write: Write) -> Iterator[Solved]:
    """Run the dialogues of a batch, every round waiting for the last of it."""
    opened: dict[str, tuple[Dialogue, list[Turn]]] = {
        problem.id: (STRATEGY.dialogue(problem), []) for problem in problems
    }
    replies: dict[str, Completion | None] = dict.fromkeys(opened)
    while replies:
        asks: dict[str, Ask] = {}
        for id_, reply in replies.items():
            dialogue, turns = opened[id_]
            try:
                ask = dialogue.send(reply)
            except StopIteration as stop:
                yield id_, stop.value, turns
                continue
            assert isinstance(ask, Ask)
            asks[id_] = ask
        replies = {}
        for student in STRATEGY.students:
            waiting = [id_ for id_, ask in asks.items() if ask.student == student]
            if not waiting:
                continue
            for id_, completion in zip(waiting, write(student, [asks[id_].prompt for id_ in waiting]), strict=True):
                opened[id_][1].append(
                    Turn(
                        student=student,
                        begun="",
                        text=completion.text,
                        finish_reason=completion.finish_reason,
                        prompt_tokens=completion.prompt_tokens,
                        tokens=completion.tokens,
                    )
                )
                replies[id_] = completion


def work_of(solved: Sequence[Solved]) -> Work:
    """Return each student's work on each problem: how many tokens it had to read, and how many it wrote."""
    work: Work = {name: [] for name in STRATEGY.students}
    for _, _, turns in solved:
        for name in STRATEGY.students:
            if asked := [turn for turn in turns if turn.student == name]:
                # Its last prompt holds all that it wrote before.
                before = sum(turn.tokens for turn in asked[:-1])
                work[name].append((asked[-1].prompt_tokens - before, before + asked[-1].tokens))
    return work


def bound(students: Path, work: Work) -> dict[str, float]:
    """Let OpenVINO GenAI do the same work in the plainest way: one student after the other, 64 sequences at a time."""
    import numpy as np
    import openvino
    import openvino_genai

    from socratic_distill.engines.conversion import convert
    from socratic_distill.engines.openvino import compute_settings

    seconds = 0.0
    for name, sequences in work.items():
        student = convert(str(students / name), "int8")
        scheduling = openvino_genai.SchedulerConfig()
        scheduling.cache_size = 4
        scheduling.max_num_seqs = TOGETHER
        settings = compute_settings(student.precision)
        pipeline = openvino_genai.ContinuousBatchingPipeline(str(student.folder), scheduling, "CPU", settings)

        def write(rows: Sequence[tuple[int, int]], pipeline: Any = pipeline) -> None:
            handles = []  # a request whose handle is gone is given up
            for number, (read, wrote) in enumerate(rows):
                config = openvino_genai.GenerationConfig()
                config.max_new_tokens = wrote
                config.set_eos_token_id(0)
                config.ignore_eos = True
                ids = np.random.default_rng(number).integers(100, 1000, size=(1, max(1, read)))
                handles.append(pipeline.add_request(number, openvino.Tensor(ids.astype(np.int64)), config))
            while pipeline.has_non_finished_requests():
                pipeline.step()

        write(sequences[:2])  # warms up
        started = time.monotonic()
        for start in range(0, len(sequences), TOGETHER):
            write(sequences[start : start + TOGETHER])
        seconds += time.monotonic() - started
    return {"seconds": seconds}


CONTENDERS: dict[str, Callable[[Path], Contender]] = {
    "openvino": ours(engine="openvino", precision="int8", window=128),
    "openvino_bf16": ours(engine="openvino", precision="bf16", window=128),
    "transformers": ours(engine="transformers", window=64),
    "ask": asking,
    "research_loop": research_loop,
    "lockstep": lockstep,
}

if __name__ == "__main__":
    main()
