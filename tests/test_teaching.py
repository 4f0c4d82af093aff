"""What comes of a teacher's replies, whatever they are."""

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Ask
from socratic_distill.reasoning.exemplars import Exemplar, Style, read_exemplars
from socratic_distill.reasoning.teacher_prompts import teacher_prompt
from socratic_distill.reasoning.teaching import NEXT_PROBLEM, check_settings, teach
from socratic_distill.recipe import Annotate
from socratic_distill.records import Annotation, Completion, FinishReason, Problem

STYLES: tuple[Style, ...] = get_args(Style)

READABLE = "Q1: How many crates?\nA1: There are 84/12 = <<84/12=7>>7 crates.\nThe answer is 7"
UNREADABLE = "I would rather not."


def exemplars() -> tuple[Exemplar, ...]:
    return read_exemplars("gsm8k", kind="number", style="socratic")


def annotated(
    problem: Problem, replies: Sequence[str | tuple[str, FinishReason]], *, attempt: int = 0, **changed: Any
) -> tuple[Annotation, list[Ask]]:
    """Run a teacher's dialogue with these replies; all must be asked for, and no more."""
    settings = Annotate.model_validate({"source": "teacher", "model": "gauss", **changed})
    dialogue = teach(problem, settings=settings, exemplars=exemplars(), attempt=attempt)
    asks: list[Ask] = []
    coming = iter(replies)
    reply: Completion | None = None
    while True:
        try:
            ask = dialogue.send(reply)
        except StopIteration as stop:
            assert next(coming, None) is None, "a reply was not asked for"
            assert isinstance(stop.value, Annotation)
            return stop.value, asks
        assert isinstance(ask, Ask)
        asks.append(ask)
        coming_reply = next(coming)
        text, finish_reason = (coming_reply, "end") if isinstance(coming_reply, str) else coming_reply
        reply = Completion(text=text, finish_reason=finish_reason, prompt_tokens=9, tokens=9)


@pytest.fixture
def orchard(two_problems: list[Problem]) -> Problem:
    return two_problems[0]


def test_a_readable_reply_is_an_annotation(orchard: Problem) -> None:
    annotation, [ask] = annotated(orchard, [READABLE], attempt=2)
    assert (annotation.problem, annotation.source, annotation.attempt) == ("orchard", "gauss", 2)
    assert [(step.subquestion, step.answer) for step in annotation.steps] == [("How many crates?", "7")]
    assert (annotation.answer, annotation.text, annotation.unreadable) == ("7", READABLE, "")
    assert (annotation.cut, annotation.guided) == (False, ())
    assert (ask.student, ask.prompt) == (
        "teacher",
        teacher_prompt(orchard, style="socratic", exemplars=exemplars(), shots=4),
    )


def test_a_chain_of_thought_is_read_as_one(orchard: Problem) -> None:
    annotation, _ = annotated(orchard, ["84/12 = 7 crates.\nThe answer is 7"], style="cot")
    assert (annotation.rationale, annotation.steps, annotation.answer) == ("84/12 = 7 crates.", (), "7")


def test_an_unreadable_reply_is_asked_for_once_more(orchard: Problem) -> None:
    annotation, [first, second] = annotated(orchard, [UNREADABLE, READABLE])
    assert (annotation.answer, annotation.text, annotation.unreadable) == ("7", READABLE, "")
    assert second.prompt.pieces[: len(first.prompt.pieces)] == first.prompt.pieces
    assert second.prompt.pieces[-2] == UNREADABLE
    assert second.prompt.pieces[-1].startswith("I could not read that: ")
    assert second.sampling == first.sampling


def test_what_is_twice_unreadable_keeps_its_reason_and_its_text(orchard: Problem) -> None:
    annotation, asks = annotated(orchard, [UNREADABLE, "Again: no."])
    assert len(asks) == 2
    assert annotation.unreadable
    assert annotation.text == "Again: no."
    assert (annotation.rationale, annotation.steps, annotation.answer) == ("", (), "")


def test_an_answer_that_is_none_of_its_kind_is_asked_for_once_more(orchard: Problem) -> None:
    many = READABLE.replace("is 7", "is many")
    annotation, asks = annotated(orchard, [many, READABLE])
    assert (annotation.answer, len(asks)) == ("7", 2)
    annotation, _ = annotated(orchard, [many, many])
    assert annotation.unreadable == "no_answer"


def test_an_empty_reply_is_answered_by_a_piece_that_is_not_empty(orchard: Problem) -> None:
    _, [_, second] = annotated(orchard, [" \n", READABLE])
    assert all(piece.strip() for piece in second.prompt.pieces)


def test_where_unreadable_ones_are_retried_a_third_ask_starts_afresh(orchard: Problem) -> None:
    annotation, [first, _, third] = annotated(orchard, [UNREADABLE, "No.", READABLE], retry=("unreadable",))
    assert (annotation.answer, annotation.text) == ("7", READABLE)
    assert third.prompt == first.prompt
    assert third.sampling and first.sampling
    assert third.sampling.seed != first.sampling.seed
    annotation, asks = annotated(orchard, [READABLE], retry=("unreadable",))
    assert len(asks) == 1


@pytest.mark.parametrize("reason", ["failed", "over_budget", "prompt_too_long"])
def test_a_request_that_is_not_answered_is_the_reason_and_not_asked_again(
    reason: FinishReason, orchard: Problem
) -> None:
    annotation, asks = annotated(orchard, [("", reason)], retry=("unreadable", "failed"))
    assert (annotation.unreadable, annotation.text, len(asks)) == (reason, "", 1)


@pytest.mark.parametrize("reason", ["failed", "over_budget"])
def test_a_second_request_that_is_not_answered_is_the_reason(reason: FinishReason, orchard: Problem) -> None:
    annotation, asks = annotated(orchard, [UNREADABLE, ("", reason)], retry=("unreadable",))
    assert (annotation.unreadable, len(asks)) == (reason, 2)


def test_where_the_second_prompt_is_too_long_the_first_reply_counts(orchard: Problem) -> None:
    alone, _ = annotated(orchard, [UNREADABLE, UNREADABLE])
    annotation, _ = annotated(orchard, [UNREADABLE, ("", "prompt_too_long")])
    assert annotation == alone
    annotation, _ = annotated(orchard, [UNREADABLE, ("", "prompt_too_long"), READABLE], retry=("unreadable",))
    assert annotation.answer == "7"


def test_a_reply_cut_for_length_says_so_whether_it_is_readable_or_not(orchard: Problem) -> None:
    annotation, asks = annotated(orchard, [(READABLE, "length")])
    assert (annotation.cut, annotation.unreadable, annotation.answer, len(asks)) == (True, "", "7", 1)
    cut = "Q1: How many crates?\nA1: There"
    annotation, [_, second] = annotated(orchard, [(cut, "length"), (cut, "length")])
    assert annotation.cut
    assert annotation.unreadable
    assert "be brief" in second.prompt.pieces[-1]
    annotation, _ = annotated(orchard, [(cut, "length"), READABLE])
    assert not annotation.cut


def test_attempts_differ_in_their_seeds_and_in_nothing_else(orchard: Problem) -> None:
    asks = [annotated(orchard, [READABLE], attempt=attempt)[1][0] for attempt in range(200)]
    seeds = {ask.sampling.seed for ask in asks if ask.sampling}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len({ask.prompt for ask in asks}) == 1
    [again] = annotated(orchard, [READABLE], attempt=7)[1]
    assert again == asks[7]
    [other] = annotated(orchard, [READABLE], attempt=7, seed=1)[1]
    assert other.sampling != again.sampling


def test_an_ask_has_the_recipes_sampling(orchard: Problem) -> None:
    [ask] = annotated(orchard, [READABLE], max_tokens=77, temperature=0.3, top_p=0.8)[1]
    assert ask.sampling
    assert (ask.sampling.max_tokens, ask.sampling.temperature, ask.sampling.top_p) == (77, 0.3, 0.8)
    assert ask.sampling.stop == ()


def test_a_plain_completion_stops_where_the_next_example_would_begin(orchard: Problem) -> None:
    server = {"base_url": "http://localhost/v1"}
    for api, stop in (("chat", ()), ("completions", (NEXT_PROBLEM,))):
        settings = Annotate.model_validate({"model": "t", "server": {**server, "api": api}})
        ask = next(teach(orchard, settings=settings, exemplars=exemplars(), attempt=0))
        assert isinstance(ask, Ask) and ask.sampling is not None
        assert ask.sampling.stop == stop
        assert "\n\n".join(ask.prompt.pieces).count(NEXT_PROBLEM) == settings.shots + 1


def test_an_annotation_says_what_its_teacher_was_really_shown(orchard: Problem, two_problems: list[Problem]) -> None:
    annotation, _ = annotated(orchard, [READABLE], guide=("facts", "rationale", "answer"))
    assert annotation.guided == ("rationale", "answer"), "the problem has no facts"
    annotation, _ = annotated(two_problems[1], [("", "failed")], guide=("facts", "equations"))
    assert annotation.guided == ("facts",)
    bare = orchard.model_copy(update={"rationale": "", "steps": (), "step_count": None})
    annotation, _ = annotated(bare, [READABLE], guide=("rationale", "equations", "decomposition", "steps"))
    assert annotation.guided == ()


def structured_reply(**changed: Any) -> str:
    step = {"subquestion": "How many crates?", "solution": "84 kg make 84/12 = 7 crates of 12 kg.", "answer": "7"}
    return json.dumps({"steps": [step], "answer": 7, **changed})


def test_a_structured_reply_is_read_as_json(orchard: Problem) -> None:
    for text in (structured_reply(), f"Here it is:\n```json\n{structured_reply()}\n```"):
        annotation, _ = annotated(orchard, [text], structured=True)
        assert (annotation.unreadable, annotation.answer, annotation.text) == ("", "7", text)
        [step] = annotation.steps
        assert (step.subquestion, step.solution) == ("How many crates?", "84 kg make 84/12 = 7 crates of 12 kg.")
    annotation, _ = annotated(
        orchard, [json.dumps({"rationale": "84/12 = 7", "answer": "7"})], structured=True, style="cot"
    )
    assert (annotation.rationale, annotation.answer) == ("84/12 = 7", "7")


def test_where_json_was_asked_for_a_plain_reply_is_read_all_the_same(orchard: Problem) -> None:
    annotation, _ = annotated(orchard, [READABLE], structured=True)
    assert (annotation.unreadable, annotation.answer) == ("", "7")


def test_json_that_holds_no_reasoning_is_unreadable(orchard: Problem) -> None:
    for text in ("{}", '{"answer": 7}', structured_reply(steps=[]), structured_reply(answer="many"), "[" * 10_000):
        annotation, asks = annotated(orchard, [text, text], structured=True)
        assert annotation.unreadable, text
        assert len(asks) == 2


PARTS = [
    "Q1:",
    "A1:",
    "Q2:",
    " How many?",
    " 7",
    "\n",
    "The answer is",
    "{",
    "}",
    '"steps"',
    "[",
    "]",
    ":",
    "<<1+1=2>>",
]
broken = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PARTS), max_size=15).map("".join))


@given(broken, broken, st.sampled_from(STYLES), st.booleans())
def test_whatever_a_teacher_writes_is_an_annotation(one: str, other: str, style: Style, structured: bool) -> None:
    problem = Problem(id="1", split="train", question="How many?", answer="7", answer_kind="number")
    settings = Annotate(source="teacher", model="gauss", style=style, structured=structured, shots=0)
    dialogue = teach(problem, settings=settings, exemplars=(), attempt=0)
    reply: Completion | None = None
    for text in (None, one, other):
        reply = None if text is None else Completion(text=text, finish_reason="end", prompt_tokens=1, tokens=1)
        try:
            dialogue.send(reply)
        except StopIteration as stop:
            annotation: Annotation = stop.value
            break
    assert bool(annotation.unreadable) != bool(annotation.steps if style == "socratic" else annotation.rationale)
    assert bool(annotation.unreadable) != bool(annotation.answer)


# --- settings


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"model": ""}, "annotate.model is empty; name the teacher"),
        ({"temperature": 0, "attempts": 3}, "annotate.attempts = 3 at temperature 0 would be 3 times the same"),
        ({"temperature": 0, "retry": ["unreadable"]}, "at temperature 0 the same would come again"),
        ({"structured": True, "engine": "transformers"}, "annotate.structured needs a server"),
        ({"shots": 7}, "annotate.shots = 7, but there are only 6 exemplars"),
    ],
)
def test_settings_that_can_not_work_are_refused(changed: dict[str, Any], complaint: str) -> None:
    settings = Annotate.model_validate({"source": "teacher", "model": "gauss", **changed})
    with pytest.raises(UserError, match=complaint):
        check_settings(settings, exemplars())


@pytest.mark.parametrize(
    "changed",
    [{}, {"temperature": 0}, {"temperature": 0, "retry": ["failed"]}, {"guide": ["facts"]}, {"structured": True}],
)
def test_settings_that_can_work_are_not(changed: dict[str, Any]) -> None:
    settings = Annotate.model_validate({"source": "teacher", "model": "gauss", **changed})
    check_settings(settings, exemplars())
    check_settings(settings.model_copy(update={"shots": 40}), ())
