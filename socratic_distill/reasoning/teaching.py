"""The dialogue that asks a teacher for an annotation; what it could not read comes back with the reason."""

import hashlib
from collections.abc import Sequence

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.reasoning.exemplars import Exemplar, Style
from socratic_distill.reasoning.teacher_prompts import guidance, second_request, teacher_prompt
from socratic_distill.reasoning.transcripts import read_transcript
from socratic_distill.recipe import Annotate
from socratic_distill.records import Annotation, Completion, Problem, Prompt, Sampling, Transcript

NEXT_PROBLEM = "\n\nProblem:"
"""How the prompts of `teacher_prompts` go on after a reply."""
TEACHER = "teacher"
"""Whom the dialogue asks."""


def check_settings(settings: Annotate, exemplars: Sequence[Exemplar] = ()) -> None:
    """Refuse settings with which a teacher can't be asked, or would be paid for nothing. Raises UserError."""
    if not settings.model:
        raise UserError("annotate.model is empty; name the teacher, for its annotations carry its name")
    if settings.temperature == 0 and settings.attempts > 1:
        raise UserError(
            f"annotate.attempts = {settings.attempts} at temperature 0 would be {settings.attempts} times the same; "
            "raise annotate.temperature, or set attempts = 1"
        )
    if settings.temperature == 0 and "unreadable" in settings.retry:
        raise UserError(
            "annotate.retry has 'unreadable', but at temperature 0 the same would come again; raise the temperature"
        )
    if settings.structured and settings.engine != "openai":
        raise UserError(f"annotate.structured needs a server; annotate.engine = {settings.engine!r} has none")
    if exemplars and settings.shots > len(exemplars):
        raise UserError(f"annotate.shots = {settings.shots}, but there are only {len(exemplars)} exemplars; lower it")


def teach(problem: Problem, *, settings: Annotate, exemplars: Sequence[Exemplar], attempt: int) -> Dialogue[Annotation]:
    """Ask a teacher for one annotation, once more where its reply can't be read, and return what came of it.

    With `retry = ["unreadable"]` a third ask starts afresh with another seed. What is still unreadable is an
    annotation with its reason; where the last ask was not answered, that is its finish reason.
    """
    prompt = teacher_prompt(
        problem,
        style=settings.style,
        exemplars=exemplars,
        shots=settings.shots,
        guide=settings.guide,
        structured=settings.structured,
    )
    sampling = _sampling(settings, attempt, fresh=0)
    reply: Completion = yield Ask(TEACHER, prompt, sampling)
    read = read_reply(reply, problem, style=settings.style)
    if read.unreadable and _answered(reply):
        pieces = (
            *prompt.pieces,
            reply.text.strip() or "(nothing)",
            second_request(read.unreadable, cut=reply.finish_reason == "length"),
        )
        again: Completion = yield Ask(TEACHER, Prompt(pieces=pieces), sampling)
        if again.finish_reason != "prompt_too_long":  # what was wrong with the reply itself says more
            reply, read = again, read_reply(again, problem, style=settings.style)
    if read.unreadable and _answered(reply) and "unreadable" in settings.retry:
        reply = yield Ask(TEACHER, prompt, _sampling(settings, attempt, fresh=1))
        read = read_reply(reply, problem, style=settings.style)
    return Annotation(
        problem=problem.id,
        source=settings.model,
        attempt=attempt,
        rationale=read.rationale,
        steps=read.steps,
        answer=read.answer,
        text=reply.text,
        unreadable=read.unreadable,
        cut=reply.finish_reason == "length",
        guided=tuple(guidance(problem, settings.guide)),
    )


def read_reply(reply: Completion, problem: Problem, *, style: Style) -> Transcript:
    """Read a teacher's reply, structured or plain; one that never came has its finish reason for a reason."""
    if not _answered(reply):
        return Transcript(unreadable=reply.finish_reason)
    read = read_transcript(reply.text, style=style, kind=problem.answer_kind, choices=problem.choices)
    reason = read.unreadable or ("" if read.answer else "no_answer")
    return Transcript(unreadable=reason) if reason else read


def _answered(reply: Completion) -> bool:
    return reply.finish_reason not in ("failed", "over_budget", "prompt_too_long")


def _sampling(settings: Annotate, attempt: int, *, fresh: int) -> Sampling:
    drawn = hashlib.sha256(f"{settings.seed}/{attempt}/{fresh}".encode()).digest()
    return Sampling(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=int.from_bytes(drawn[:4]) >> 1,  # servers take 31 bits
        # A plain completion of worked examples goes on to the next one.
        stop=(NEXT_PROBLEM,) if settings.server and settings.server.api == "completions" else (),
    )
