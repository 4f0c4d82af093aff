"""What a teacher reads: golden files, and that it is shown nothing gold unasked."""

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest

from socratic_distill.reasoning.exemplars import OWN, Exemplar, Style, read_exemplars
from socratic_distill.reasoning.teacher_prompts import (
    RESPONSE_FORMATS,
    TEACHER_PROMPT_VERSION,
    WRONG,
    format_reply,
    guidance,
    second_request,
    teacher_prompt,
)
from socratic_distill.reasoning.transcripts import REASONS
from socratic_distill.recipe import Guide
from socratic_distill.records import Problem, Prompt

GOLDEN = Path(__file__).parent / "golden" / "teaching"
REGENERATE = "SOCRATIC_WRITE_GOLDEN"  # set it to write the golden files anew
STYLES: tuple[Style, ...] = get_args(Style)
GUIDES: tuple[Guide, ...] = get_args(Guide)


def exemplars_of(dataset: str) -> tuple[Exemplar, ...]:
    return read_exemplars(dataset, kind="boolean" if dataset == "strategyqa" else "number", style="socratic")


def show(prompt: Prompt) -> str:
    """Write a prompt as readable text, whose turn it is before each piece."""
    lines = [f"teacher prompt version {TEACHER_PROMPT_VERSION}", ""]
    for place, piece in enumerate(prompt.pieces):
        lines += [f"===== {'assistant' if place % 2 else 'user'}", piece, ""]
    return "\n".join(lines)


def prompt_of(problem: Problem, dataset: str, **changed: Any) -> Prompt:
    asked: dict[str, Any] = {"style": "socratic", "exemplars": exemplars_of(dataset), "shots": 1, **changed}
    return teacher_prompt(problem, **asked)


def golden_prompts(orchard: Problem, penguins: Problem) -> Iterable[tuple[str, Prompt]]:
    for dataset, style in itertools.product(OWN, STYLES):
        problem = penguins if dataset == "strategyqa" else orchard
        yield f"{dataset}_{style}", prompt_of(problem, dataset, style=style, shots=4)
    for guide in GUIDES:
        problem, dataset = (penguins, "strategyqa") if guide == "facts" else (orchard, "gsm8k")
        yield f"guide_{guide}", prompt_of(problem, dataset, guide=(guide,))
    yield "guide_all_cot", prompt_of(penguins, "strategyqa", style="cot", guide=GUIDES)
    for style in STYLES:
        yield f"structured_{style}", prompt_of(orchard, "gsm8k", style=style, structured=True)
    which = orchard.model_copy(
        update={"question": "Which one swims?", "answer": "B", "answer_kind": "choice", "choices": ("stone", "trout")}
    )
    yield "choice_without_exemplars", prompt_of(which, "gsm8k", exemplars=(), shots=4)
    asked = prompt_of(orchard, "gsm8k", shots=0)
    again = second_request("no_answer", cut=True)
    yield "second_ask", Prompt(pieces=(*asked.pieces, "Q1: How many crates does Nora fill?", again))


def test_every_prompt_is_that_of_its_golden_file(two_problems: list[Problem]) -> None:
    prompts = dict(golden_prompts(*two_problems))
    for name, prompt in prompts.items():
        path = GOLDEN / f"{name}.txt"
        if os.environ.get(REGENERATE):
            path.parent.mkdir(exist_ok=True)
            path.write_text(show(prompt), encoding="utf-8")
        assert show(prompt) == path.read_text(encoding="utf-8"), (
            f"{name}: if it is meant, raise TEACHER_PROMPT_VERSION, then run the tests once with {REGENERATE}=1"
        )
    assert {path.stem for path in GOLDEN.iterdir()} == prompts.keys(), "a golden file that no prompt is held against"


@pytest.mark.parametrize("shots", [0, 1, 4])
def test_user_and_assistant_take_turns_and_the_user_is_first_and_last(shots: int, two_problems: list[Problem]) -> None:
    exemplars = exemplars_of("gsm8k")
    pieces = prompt_of(two_problems[0], "gsm8k", shots=shots).pieces
    assert len(pieces) == 2 * shots + 1
    assert [format_reply(one, style="socratic") for one in exemplars[:shots]] == list(pieces[1::2])
    assert two_problems[0].question in pieces[-1]
    assert "The answer is X" in pieces[0]


def test_unguided_a_teacher_is_shown_nothing_gold(two_problems: list[Problem]) -> None:
    for problem, style in itertools.product(two_problems, STYLES):
        assert guidance(problem, ()) == {}
        bare = problem.model_copy(update={"answer": "", "rationale": "", "steps": (), "step_count": None, "facts": ()})
        prompts = [prompt_of(one, "gsm8k", style=style, shots=2) for one in (problem, bare)]
        assert prompts[0] == prompts[1]


def test_each_guide_shows_its_own_part_of_the_gold_reasoning(two_problems: list[Problem]) -> None:
    orchard, penguins = two_problems
    assert guidance(orchard, GUIDES) == {
        "rationale": orchard.rationale,
        "equations": "84/12=7\n7*15=105\n105-28.5=76.5",
        "decomposition": (
            "1. How many crates does Nora fill?\n2. How much do the crates sell for?\n"
            "3. How much is left after the van is paid?"
        ),
        "steps": "3",
        "answer": "76.5",
    }
    assert guidance(penguins, ("facts", "equations")) == {"facts": "Emperor penguins breed in Antarctica."}


def test_equations_without_marks_and_a_count_without_steps_are_shown_too(two_problems: list[Problem]) -> None:
    plain = two_problems[0].model_copy(update={"rationale": "So 84 / 12 = 7 crates.", "steps": (), "step_count": 1})
    assert guidance(plain, ("equations", "steps", "decomposition")) == {"equations": "84 / 12=7", "steps": "1"}


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("style", STYLES)
def test_exemplars_are_shown_with_the_guidance_that_the_problem_has(
    style: Style, guide: Guide, two_problems: list[Problem]
) -> None:
    for problem, dataset in zip(two_problems, ("gsm8k", "strategyqa"), strict=True):
        prompt = prompt_of(problem, dataset, style=style, shots=3, guide=(guide,))
        plain = prompt_of(problem, dataset, style=style, shots=3)
        shown = [len(one) > len(other) for one, other in zip(prompt.pieces[2::2], plain.pieces[2::2], strict=True)]
        assert shown == [bool(guidance(problem, (guide,)))] * 3
        assert prompt.pieces[1::2] == plain.pieces[1::2]


def test_a_guided_exemplar_does_not_copy_the_solution_that_it_is_given(two_problems: list[Problem]) -> None:
    for style in STYLES:
        prompt = prompt_of(two_problems[0], "gsm8k", style=style, shots=2, guide=("rationale",))
        for shown, reply in itertools.pairwise(prompt.pieces[:4]):
            solution = shown.partition("Worked solution:\n")[2]
            if solution:
                assert solution.splitlines()[0] not in reply.splitlines()


def test_an_exemplar_that_asks_the_problems_own_question_is_passed_over(two_problems: list[Problem]) -> None:
    first, second, *_ = exemplars_of("gsm8k")
    own = two_problems[0].model_copy(update={"question": f" {first.question}\n"})
    prompt = prompt_of(own, "gsm8k", exemplars=(first, second), shots=1)
    assert second.question in prompt.pieces[0]
    assert first.answer not in "".join(prompt.pieces).replace(first.question, "").split()


@pytest.mark.parametrize("style", STYLES)
def test_a_structured_reply_has_the_fields_of_its_schema(style: Style) -> None:
    schema = RESPONSE_FORMATS[style]["json_schema"]["schema"]
    reply = json.loads(format_reply(exemplars_of("gsm8k")[0], style=style, structured=True))
    assert list(reply) == schema["required"] == list(schema["properties"])
    if style == "socratic":
        assert all(list(step) == schema["properties"]["steps"]["items"]["required"] for step in reply["steps"])


def test_a_teacher_is_told_what_was_wrong_with_every_reason_that_there_is() -> None:
    assert WRONG.keys() == REASONS.keys()
    for reason in REASONS:
        whole, cut = second_request(reason, cut=False), second_request(reason, cut=True)
        assert WRONG[reason] in whole
        assert ("be brief" in whole, "be brief" in cut) == (False, True)
