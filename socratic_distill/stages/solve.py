"""`socratic solve`: the test problems, solved in every way that the recipe names; rows are appended as they end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from socratic_distill.artifacts import appending, fingerprint, fingerprint_records, read_manifest, read_rows, write_rows
from socratic_distill.engines import Engine
from socratic_distill.engines.driver import drive
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype
from socratic_distill.reasoning.dialogue import Dialogue, with_calculator
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.reasoning.strategies import Facts, Strategy, named_strategy, shown
from socratic_distill.recipe import Solve
from socratic_distill.records import Problem, Sampling, SolutionRow
from socratic_distill.run import NotMade, Run, Target
from socratic_distill.students import base_fingerprint, load_base, load_student, ready

# The window changes the order of work alone; at bf16 also rounding, as the documentation says.
_WITHOUT_EFFECT = {"window", "trained"}


def targets(run: Run) -> Iterator[Target]:
    """Offer `solutions/<name>.jsonl` for each solve."""
    problems = run.problems("test")
    engines: dict[tuple[str, str], Engine] = {}
    for name, solve in run.recipe.solve.items():
        strategy = named_strategy(solve.strategy)
        facts = solve.facts or run.recipe.train.facts
        settings = {
            **{key: value for key, value in solve.model_dump(mode="json").items() if key not in _WITHOUT_EFFECT},
            "facts": facts,
            "prompt_version": PROMPT_VERSION,
        }
        inputs = {
            f"students/{student}": (_weights(run, student) if solve.trained else _untrained(run))
            for student in strategy.students
        }
        keys = {
            problem.id: fingerprint([settings, inputs, shown(problem, facts).model_dump(mode="json")])
            for problem in problems
        }
        yield Target(
            f"solutions/{name}.jsonl",
            settings,
            {**inputs, "problems": fingerprint_records(shown(problem, facts) for problem in problems)},
            partial(_make, run, name, solve, strategy, facts, problems, keys, engines),
        )


def sampling_of(solve: Solve) -> Sampling:
    """Return the sampling of a solve's asks."""
    return Sampling(max_tokens=solve.max_tokens, temperature=solve.temperature, top_p=solve.top_p, seed=solve.seed)


def dialogue_of(problem: Problem, strategy: Strategy, solve: Solve, facts: Facts) -> Dialogue:
    """Open a problem's dialogue as a solve says."""
    dialogue = strategy.dialogue(shown(problem, facts))
    return with_calculator(dialogue, sampling_of(solve)) if solve.calculator else dialogue


def _make(
    run: Run,
    name: str,
    solve: Solve,
    strategy: Strategy,
    facts: Facts,
    problems: Sequence[Problem],
    keys: Mapping[str, str],
    engines: dict[tuple[str, str], Engine],
) -> Mapping[str, Any]:
    path = run.path(f"solutions/{name}.jsonl")
    rows = {row.key: row for row in read_rows(path, SolutionRow)}
    waiting = [problem for problem in problems if keys[problem.id] not in rows]
    by_student = {student: _engine(run, student, solve, engines) for student in strategy.students if waiting}
    dialogues = ((problem.id, dialogue_of(problem, strategy, solve, facts)) for problem in waiting)
    with (
        appending(path) as appender,
        run.progress.track(f"solve {name}", len(problems), done=len(problems) - len(waiting)) as track,
    ):
        started = last = time.monotonic()
        tokens = 0
        try:
            for finished in drive(dialogues, by_student, sampling=sampling_of(solve), window=solve.window):
                now = time.monotonic()
                row = SolutionRow(
                    key=keys[finished.key],
                    problem=finished.key,
                    solution=finished.result,
                    turns=finished.turns,
                    seconds=round(now - last, 4),
                )
                appender.append(row)
                rows[row.key] = row
                last = now
                tokens += sum(turn.tokens for turn in finished.turns)
                track.advance(1, f"{tokens / (now - started + 1e-9):,.0f} tokens/s")
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise UserError(
                f"out of memory while solving {name}; what is solved is kept: lower solve.{name}.window and go on"
            ) from error
    wanted = [rows[keys[problem.id]] for problem in problems]
    write_rows(path, wanted)
    seconds = sum(row.seconds for row in wanted)
    run.progress.say(f"solved {name}: {len(wanted)} problems in {seconds:,.0f} s")
    return {"rows": len(wanted), "seconds": round(seconds, 1), "dtype": _dtype_name(solve)}


def _weights(run: Run, student: str) -> str:
    manifest = read_manifest(run.path(f"students/{student}"))
    if manifest is None:
        raise NotMade(f"students/{student}", "train")
    return str(manifest["weights"])


def _untrained(run: Run) -> str:
    if run.recipe.train.student != "scratch":
        return base_fingerprint(run.recipe.train.student)
    manifest = read_manifest(run.path("base"))
    if manifest is None:
        raise NotMade("base", "train")
    return fingerprint([manifest["settings"], manifest["inputs"]])


def _dtype(solve: Solve) -> torch.dtype:
    return torch.float32 if solve.precision == "fp32" else compute_dtype()


def _dtype_name(solve: Solve) -> str:
    return str(_dtype(solve)).removeprefix("torch.")


def _engine(run: Run, student: str, solve: Solve, engines: dict[tuple[str, str], Engine]) -> Engine:
    """Load a student once for all solves that ask it."""
    # Untrained, every student is the same base.
    key = (student if solve.trained else "", solve.precision)
    if key not in engines:
        run.progress.say(f"loads {student if solve.trained else 'the untrained student'}")
        engines[key] = ENGINES[solve.engine](run, student, solve)
    return engines[key]


def _transformers_engine(run: Run, student: str, solve: Solve) -> Engine:
    if solve.trained:
        loaded = load_student(run.path(f"students/{student}"), dtype=_dtype(solve))
    else:
        name = run.recipe.train.student
        loaded = ready(*load_base(str(run.path("base")) if name == "scratch" else name, dtype=_dtype(solve)))
    return TransformersEngine(loaded, batch_size=solve.window)


ENGINES: dict[str, Callable[[Run, str, Solve], Engine]] = {"transformers": _transformers_engine}
