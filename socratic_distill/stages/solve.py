"""`socratic solve`: the test problems, solved in every way that the recipe names; rows are appended as they end."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from socratic_distill.artifacts import appending, fingerprint, fingerprint_records, read_manifest, read_rows, write_rows
from socratic_distill.engines import Engine
from socratic_distill.engines.casting import dtype_of, precision_of, settled, source_of, student_engine
from socratic_distill.engines.driver import drive
from socratic_distill.engines.journal import Journal, Journalled
from socratic_distill.engines.prompted import (
    model_allowance,
    model_identity,
    prompted_api,
    prompted_engine,
    prompted_identity,
)
from socratic_distill.errors import UserError
from socratic_distill.machine import release_memory
from socratic_distill.reasoning.prompting import Prompting, prompting_of
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.reasoning.solving import dialogue_of, own_students, prompted_students, sampling_of, strategy_of
from socratic_distill.reasoning.strategies import Facts, Strategy, shown
from socratic_distill.recipe import SOLVE_WITHOUT_EFFECT, Solve
from socratic_distill.records import Problem, SolutionRow
from socratic_distill.run import QUIET, NotMade, Run, Target
from socratic_distill.scale import Worker, over_ray
from socratic_distill.students import Bases, base_fingerprint


def targets(run: Run) -> Iterator[Target]:
    """Offer `solutions/<name>.jsonl` for each solve."""
    problems = run.problems("test")
    engines: dict[tuple[str, str], Engine] = {}
    bases: Bases = {}
    for place, (name, solve) in enumerate(run.recipe.solve.items()):
        strategy = strategy_of(solve)
        facts = _facts(run, solve)
        inputs = {
            f"students/{student}": (_weights(run, student) if solve.trained else _untrained(run))
            for student in own_students(solve)
        }
        solve = _settled(run, solve)
        here = replace(run, recipe=run.recipe.model_copy(update={"solve": {**run.recipe.solve, name: solve}}))
        settings = {
            **solve.model_dump(mode="json", exclude={**SOLVE_WITHOUT_EFFECT, "prompted": True}, exclude_none=True),
            "facts": facts,
            "prompt_version": PROMPT_VERSION,
        }
        ceiling = {}
        # What a prompted model is stands there as its identity.
        if (prompting := _prompting(run, solve, strategy, problems)) is not None:
            assert solve.prompted is not None, "it is prompted"
            settings["prompted"] = prompted_identity(solve.prompted, prompting)
            # A higher one leaves room for what was not asked, and changes no answer that there is.
            ceiling = {"max_usd": solve.prompted.max_usd} if solve.prompted.max_usd is not None else {}
        seen = {problem.id: problem if solve.oracle else shown(problem, facts) for problem in problems}
        keys = {id_: fingerprint([settings, inputs, problem.model_dump(mode="json")]) for id_, problem in seen.items()}
        yield Target(
            f"solutions/{name}.jsonl",
            {**settings, **ceiling},
            {**inputs, "problems": fingerprint_records(seen.values())},
            partial(_make, here, name, strategy, problems, keys, engines, bases),
            grows=(f"solutions/{name}.jsonl", *_paid(name)),
        )
        # Only now is it made: an engine holds gigabytes, so what no later solve asks is let go.
        if engines:
            later = list(run.recipe.solve.values())[place + 1 :]
            wanted = {_engine_key(student, _settled(run, one)) for one in later for student in own_students(one)}
            for key in engines.keys() - wanted:
                del engines[key]
            release_memory()


def _make(
    run: Run,
    name: str,
    strategy: Strategy,
    problems: Sequence[Problem],
    keys: Mapping[str, str],
    engines: dict[tuple[str, str], Engine],
    bases: Bases,
) -> Mapping[str, Any]:
    path = run.path(f"solutions/{name}.jsonl")
    solve = run.recipe.solve[name]
    # As JSON, for as records ten thousand of them are a gigabyte.
    rows = {row.key: row.model_dump_json() for row in read_rows(path, SolutionRow) if not row.lacks("over_budget")}
    waiting = [(keys[problem.id], problem) for problem in problems if keys[problem.id] not in rows]
    precision = precision_of(solve) if own_students(solve) else {}
    if waiting and own_students(solve):
        run.progress.say(f"solve {name}: engine {solve.engine}{_in_words(precision)}")
    with (
        appending(path) as appender,
        run.progress.track(f"solve {name}", len(problems), done=len(problems) - len(waiting)) as track,
    ):
        started = last = time.monotonic()
        solved_now = tokens = 0
        ended = _on_ray(run, name, strategy, waiting) if solve.executor == "ray" else None
        try:
            for timeless in ended or solved(run, name, strategy, waiting, engines, bases):
                now = time.monotonic()
                row = timeless.model_copy(update={"seconds": round(now - last, 4)})
                appender.append(row)
                rows[row.key] = row.model_dump_json()
                last = now
                tokens += sum(turn.tokens for turn in row.turns)
                solved_now += 1
                elapsed = now - started + 1e-9
                track.advance(1, f"{solved_now / elapsed:,.2f} problems/s, {tokens / elapsed:,.0f} tokens/s")
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise UserError(
                f"out of memory while solving {name}; what is solved is kept: lower solve.{name}.window and go on"
            ) from error
    seconds, unpaid, failed = 0.0, 0, 0

    def wanted() -> Iterator[SolutionRow]:
        nonlocal seconds, unpaid, failed
        for problem in problems:
            row = SolutionRow.model_validate_json(rows[keys[problem.id]])
            seconds += row.seconds
            unpaid += row.lacks("over_budget")
            failed += row.lacks("failed")
            yield row

    write_rows(path, wanted())
    run.progress.say(f"solved {name}: {len(problems)} problems in {seconds:,.0f} s")
    if unpaid:
        run.progress.say(
            f"OUT OF MONEY: {unpaid:,} of these were not asked to their end, for solve.{name}.prompted.max_usd has no"
            " room for them; raise it and run again: what is answered stays"
        )
    if failed:
        run.progress.say(
            f"{failed:,} of these have requests that failed; to ask those again remove {path} and run again: what is"
            " answered stays"
        )
    dtype = {"dtype": str(dtype_of(solve)).removeprefix("torch.")} if solve.engine == "transformers" else {}
    made = {"precision": precision} if precision else {}
    return {"rows": len(problems), "seconds": round(seconds, 1), **dtype, **made}


def solved(
    run: Run,
    name: str,
    strategy: Strategy,
    waiting: Sequence[tuple[str, Problem]],
    engines: dict[tuple[str, str], Engine],
    bases: Bases,
) -> Iterator[SolutionRow]:
    """Solve problems, each with the key of its row, and yield the rows as they end, without their times.

    `engines` keeps those that later solves may ask too, and `bases` what students trained with LoRA share.
    """
    solve = run.recipe.solve[name]
    problems = dict(waiting)
    facts, prompting = _facts(run, solve), _prompting(run, solve, strategy, list(problems.values()))
    dialogues = ((key, dialogue_of(problem, strategy, solve, facts, prompting=prompting)) for key, problem in waiting)
    with ExitStack() as opened:
        by_student: dict[str, Engine] = {}
        for student in own_students(solve) if waiting else ():
            by_student[student] = engine = _engine(run, student, solve, engines, bases)
            if isinstance(engine, AbstractContextManager):
                opened.enter_context(engine)
        if prompting is not None and waiting:
            by_student |= dict.fromkeys(prompting.students, _prompted(run, name, opened))
        for finished in drive(dialogues, by_student, sampling=sampling_of(solve), window=solve.window):
            yield SolutionRow(
                key=finished.key,
                problem=problems[finished.key].id,
                solution=finished.result,
                turns=finished.turns,
                seconds=0.0,
            )


def _prompting(run: Run, solve: Solve, strategy: Strategy, problems: Sequence[Problem]) -> Prompting | None:
    """Prepare to prompt those of a solve's students whom a model as it is plays; None where there are none."""
    students = prompted_students(solve)
    if solve.prompted is None or not students:
        return None
    return prompting_of(
        solve,
        strategy,
        students=students,
        dataset=run.recipe.problems.dataset,
        kinds={problem.answer_kind for problem in problems},
        api=prompted_api(solve.prompted),
    )


def _prompted(run: Run, name: str, opened: ExitStack) -> Engine:
    """Open the engine of a solve's prompted model, with what asking it may cost."""
    solve = run.recipe.solve[name]
    assert solve.prompted is not None, "it is prompted"
    run.progress.say(f"solve {name}: {solve.prompted.model} plays the {' and the '.join(prompted_students(solve))}")
    prompted, (journal, ledger) = solve.prompted, _paid(name)
    allowance = opened.enter_context(model_allowance(prompted, run.path(ledger)))
    if prompted.engine != "openai":  # costs nothing, and may be asked by several actors at once
        return prompted_engine(prompted, allowance, window=solve.window)
    return opened.enter_context(
        Journalled(
            lambda: prompted_engine(prompted, allowance),
            opened.enter_context(Journal(run.path(journal))),
            identity=model_identity(prompted),
            retry_failed=True,
        )
    )


def _paid(name: str) -> tuple[str, str]:
    """Name the journal and the ledger of what a solve asks a server."""
    return f"solutions/{name}.journal.jsonl", f"solutions/{name}.ledger.jsonl"


def _on_ray(run: Run, name: str, strategy: Strategy, waiting: Sequence[tuple[str, Problem]]) -> Iterator[SolutionRow]:
    """Solve on Ray's actors, which read the run folder: on a cluster it must be one that all machines see."""
    solve = run.recipe.solve[name]
    elsewhere = Run(run.recipe, run.folder.resolve(), QUIET)

    def make_worker() -> Worker:
        engines: dict[tuple[str, str], Engine] = {}
        bases: Bases = {}

        def work(block: list[str]) -> list[str]:
            rows = [json.loads(row) for row in block]
            keyed = [(row["key"], Problem.model_validate(row["problem"])) for row in rows]
            return [row.model_dump_json() for row in solved(elsewhere, name, strategy, keyed, engines, bases)]

        return work

    rows = [json.dumps({"key": key, "problem": problem.model_dump(mode="json")}) for key, problem in waiting]
    for row in over_ray(rows, make_worker, actors=solve.actors, block=solve.window):
        yield SolutionRow.model_validate_json(row)


def _in_words(precision: Mapping[str, str]) -> str:
    return "".join(f", {what} {kind}" for what, kind in precision.items())


def _facts(run: Run, solve: Solve) -> Facts:
    return solve.facts or run.recipe.train.facts


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


def _settled(run: Run, solve: Solve) -> Solve:
    students = own_students(solve)
    return settled(solve, [source_of(run, student, solve) for student in students]) if students else solve


def _engine_key(student: str, solve: Solve) -> tuple[str, str]:
    """Tell engines apart: untrained, every student is the same base; the window bounds the rows of a step."""
    return student if solve.trained else "", f"{solve.engine} {solve.precision} {solve.window}"


def _engine(run: Run, student: str, solve: Solve, engines: dict[tuple[str, str], Engine], bases: Bases) -> Engine:
    """Load a student once for all solves that ask it in the same way."""
    key = _engine_key(student, solve)
    if solve.engine == "openai":
        return student_engine(source_of(run, student, solve), student, solve)
    if key not in engines:
        run.progress.say(f"loads {student if solve.trained else 'the untrained student'}")
        engines[key] = student_engine(source_of(run, student, solve), student, solve, bases=bases, say=run.progress.say)
    return engines[key]
