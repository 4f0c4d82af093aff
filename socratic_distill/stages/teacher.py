"""What `socratic annotate` does where a teacher writes: asks within the budget, keeps what comes, counts what it cost.

What a teacher answers is in the journal as it arrives; the rows are written at the end, in the problems' order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from socratic_distill.artifacts import fingerprint_records, write_rows
from socratic_distill.engines.allowance import Allowance, Spending
from socratic_distill.engines.estimates import estimate
from socratic_distill.engines.journal import Journal
from socratic_distill.engines.teachers import teacher_identity, teacher_window
from socratic_distill.reasoning.exemplars import read_exemplars
from socratic_distill.reasoning.teacher_prompts import TEACHER_PROMPT_VERSION, format_reply
from socratic_distill.reasoning.teaching import check_settings
from socratic_distill.reasoning.transcripts import READER
from socratic_distill.recipe import GENTLENESS, Annotate
from socratic_distill.records import Annotation, Problem
from socratic_distill.run import Run, Target
from socratic_distill.scale import SharedAllowance
from socratic_distill.stages.asking import Exemplars, ask_here, ask_on_ray, open_allowance, tasks

ROWS, JOURNAL, LEDGER = "annotations.jsonl", "journal.jsonl", "ledger.jsonl"

_WITHOUT_EFFECT: Any = {
    "file": True,
    "question_field": True,
    "text_field": True,
    "exemplars": True,
    "executor": True,
    "actors": True,
    "server": GENTLENESS,
}
"""What the rows don't depend on; exemplars are an input."""


def teacher_target(run: Run, problems: Sequence[Problem]) -> Target:
    """Offer the annotations of a teacher. Raises UserError where the recipe can't be followed."""
    settings = run.recipe.annotate
    exemplars = _exemplars(settings, problems, dataset=run.recipe.problems.dataset)
    _check(settings, exemplars)
    return Target(
        ROWS,
        {
            **settings.model_dump(
                mode="json",
                exclude=_WITHOUT_EFFECT | ({} if settings.max_usd is not None else {"prices": True}),
                exclude_none=True,
            ),
            "prompt_version": TEACHER_PROMPT_VERSION,
            "reader": READER,
        },
        {
            "problems": fingerprint_records(problems),
            "exemplars": fingerprint_records(one for kind in sorted(exemplars) for one in exemplars[kind]),
        },
        partial(_ask, run, problems, exemplars),
        plan=partial(_plan, run, problems, exemplars),
        grows=(JOURNAL, LEDGER),
    )


def _exemplars(settings: Annotate, problems: Sequence[Problem], *, dataset: str) -> Exemplars:
    kinds = {problem.answer_kind for problem in problems}
    source = settings.exemplars or dataset
    return {kind: read_exemplars(source, kind=kind, style=settings.style) if settings.shots else () for kind in kinds}


def _check(settings: Annotate, exemplars: Exemplars) -> None:
    for suited in exemplars.values():
        check_settings(settings, suited)
    teacher_window(settings)
    if settings.max_usd is not None:
        Allowance(settings.prices, settings.max_usd)


def _ask(run: Run, problems: Sequence[Problem], exemplars: Exemplars) -> Mapping[str, Any]:
    settings = run.recipe.annotate
    total = len(problems) * settings.attempts
    rows: dict[tuple[str, int], Annotation] = {}
    requests = read = written = 0
    work = tasks(problems, attempts=settings.attempts)
    ask = ask_on_ray if settings.executor == "ray" else ask_here
    with (
        open_allowance(settings, run.path(LEDGER)) as allowance,
        Journal(run.path(JOURNAL)) as journal,
        ask(work, settings=settings, exemplars=exemplars, journal=journal, allowance=allowance) as ended,
        run.progress.track("annotate", total) as track,
    ):
        money = _Money(allowance, total, priced=settings.engine == "openai" and settings.prices is not None)
        try:
            for finished in ended:
                annotation = finished.result
                rows[annotation.problem, annotation.attempt] = annotation
                requests += len(finished.turns)
                read += sum(turn.prompt_tokens for turn in finished.turns)
                written += sum(turn.tokens for turn in finished.turns)
                track.advance(1, money.status(len(rows), f"{requests:,} requests"))
        except KeyboardInterrupt:
            if settings.executor == "local":
                run.progress.say("waits for what is in flight, and keeps it; Ctrl-C again stops at once")
            else:
                run.progress.say("lets go of the blocks in flight; they are asked again")
            raise
    annotations = [rows[problem.id, attempt] for problem in problems for attempt in range(settings.attempts)]
    write_rows(run.path(ROWS), annotations)
    facts = tally(annotations)
    if money.priced:
        spending = money.spending().model_dump()
        facts |= {"projected_usd": round(money.projected(total - facts["over_budget"]), 6)}
    else:
        spending = {"requests": requests, "input_tokens": read, "output_tokens": written}
    spent = f"; {_dollars(money.spending().usd)} spent" if money.priced else ""
    run.progress.say(
        f"{total:,} annotations by {settings.model}: {facts['readable']:,} readable{reasons(facts)}{spent}"
    )
    _say_unanswered(run, annotations, facts, money)
    return {**facts, "requests": requests, "spending": spending}


class _Money:
    """What the annotations have cost so far, and will have cost when all are done."""

    def __init__(self, allowance: Allowance | SharedAllowance, total: int, *, priced: bool) -> None:
        self._allowance, self._total, self.priced = allowance, total, priced
        self._free = 0  # annotations that came before any had to be paid for: the journal's

    def spending(self) -> Spending:
        return self._allowance.spending()

    def projected(self, done: int) -> float:
        """Return dollars: what is spent, and what is left at what this session's annotations have cost on average."""
        spent, earlier = self.spending().usd, self._allowance.earlier.usd
        if spent == earlier:
            self._free = done
        paid = done - self._free
        return spent + ((spent - earlier) / paid * (self._total - done) if paid > 0 else 0.0)

    def status(self, done: int, otherwise: str) -> str:
        if not self.priced:
            return otherwise
        return f"{_dollars(self.spending().usd)} spent, about {_dollars(self.projected(done))} in all"


def _dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def tally(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Count annotations for their manifest."""
    reasons = Counter(annotation.unreadable for annotation in annotations if annotation.unreadable)
    return {
        "rows": len(annotations),
        "readable": len(annotations) - reasons.total(),
        "socratic": sum(bool(annotation.steps) for annotation in annotations),
        "unreadable": dict(reasons.most_common()),
        "over_budget": reasons["over_budget"],
    }


def reasons(facts: Mapping[str, Any]) -> str:
    """Say why some of them are not readable; empty where all are."""
    named = ", ".join(f"{reason} {count:,}" for reason, count in facts["unreadable"].items())
    return f"; not readable: {named}" if named else ""


def _say_unanswered(run: Run, annotations: Sequence[Annotation], facts: Mapping[str, Any], money: _Money) -> None:
    if facts["over_budget"]:
        settings, spending = run.recipe.annotate, money.spending()
        problems = {annotation.problem for annotation in annotations if annotation.unreadable == "over_budget"}
        run.progress.say(
            f"OUT OF MONEY: {facts['over_budget']:,} annotations of {len(problems):,} problems were not asked for:"
            f" annotate.max_usd = {settings.max_usd:g} has no room for them ({_dollars(spending.usd)} spent, at most"
            f" {_dollars(spending.unknown_usd)} more of unknown end); raise it and run again: what is answered stays"
        )
    if failed := facts["unreadable"].get("failed"):
        run.progress.say(f'{failed:,} requests failed; to ask them again: --set annotate.retry=["failed"]')


def _plan(run: Run, problems: Sequence[Problem], exemplars: Exemplars) -> list[str]:
    settings = run.recipe.annotate
    replies = [
        format_reply(one, style=settings.style, structured=settings.structured)
        for suited in exemplars.values()
        for one in suited
    ]
    longest = settings.max_tokens * 2.0  # without exemplars nothing says how long a reply is: half of what it may be
    with Journal(run.path(JOURNAL)) as journal:
        left = estimate(
            (task.dialogue(settings, exemplars) for task in tasks(problems, attempts=settings.attempts)),
            journal,
            identity=teacher_identity(settings),
            retry_failed="failed" in settings.retry,
            reply_bytes=sum(len(reply.encode()) for reply in replies) / len(replies) if replies else longest,
            most_asks=3 if "unreadable" in settings.retry else 2,
        )
    lines = [
        f"asks {settings.model} for {left.requests:,} of {left.dialogues:,} annotations; the journal has the others",
        f"expects {left.expected.input_tokens:,} input and {left.expected.output_tokens:,} output tokens",
    ]
    if settings.prices is None:
        return [*lines, "what that costs is not known: [annotate.prices] is not given"]
    expected, worst = left.usd(settings.prices)
    lines.append(
        f"expects {_dollars(expected)}; at most {_dollars(worst)}, were every reply max_tokens long and none readable"
    )
    if settings.max_usd is not None:
        lines.append(f"max_usd = {_dollars(settings.max_usd)} is the ceiling, with what this run has spent before")
    return lines
