"""Votes: the majority of samples, and the decomposition on which the solver agrees most."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import PENS, Script, solved

from socratic_distill.reasoning.dialogue import Dialogue, reseeded, with_calculator, with_sampling
from socratic_distill.reasoning.strategies import Strategy, cot, named_strategy
from socratic_distill.reasoning.voting import best_decomposition, most_frequent, self_consistent
from socratic_distill.records import Prompt, Sampling, Solution

WARM = Sampling(temperature=0.7, max_tokens=30)


def voted(*texts: str) -> Solution:
    """Let samples of a chain of thought write these texts."""
    by_seed = {reseeded(WARM, number).seed: text for number, text in enumerate(texts)}
    samples = [with_sampling(cot(PENS), reseeded(WARM, number)) for number in range(len(texts))]
    finished, _ = solved(self_consistent(PENS, samples), {"cot": lambda _, sampling: by_seed[sampling.seed]})
    assert [turn.text for turn in finished.turns] == list(texts)
    return finished.result


def test_the_most_frequent_answer_wins_and_its_first_solution_stands() -> None:
    solution = voted("a #### 5", "b #### 6", "c #### 7", "d #### 6")
    assert (solution.text, solution.votes) == ("b #### 6", ("5", "6", "7", "6"))


def test_a_tie_goes_to_the_first_seen() -> None:
    assert voted("#### 7", "#### 5", "#### 5", "#### 7").text == "#### 7"


def test_what_cannot_be_read_has_no_vote() -> None:
    solution = voted("no idea", "who knows", "dunno", "#### 6")
    assert (solution.text, solution.votes) == ("#### 6", ("", "", "", "6"))


def test_what_was_cut_before_its_answer_has_no_vote() -> None:
    samples = [cot(PENS) for _ in range(3)]
    texts = iter(("9 " * 40, "9 " * 40, "#### 6"))
    finished, _ = solved(with_sampling(self_consistent(PENS, samples), WARM), {"cot": lambda *_: next(texts)})
    assert finished.result.votes == ("", "", "6")


def test_where_none_can_be_read_the_first_stands_as_unreadable_as_it_is() -> None:
    solution = voted("no idea", "who knows")
    assert (solution.text, solution.votes) == ("no idea", ("", ""))


def test_equal_numbers_are_one_answer_however_they_are_written() -> None:
    assert most_frequent(PENS, ["5", "0.50", "7", "1/2", "0.5"]) == [1, 3, 4]


@pytest.mark.parametrize(
    ("kind", "texts", "winner"), [("boolean", ("yes", "No.", "no"), "No."), ("choice", "BAAB", "B")]
)
def test_other_kinds_of_answers_vote_too(kind: str, texts: Sequence[str], winner: str) -> None:
    problem = PENS.model_copy(update={"answer_kind": kind, "choices": ("red", "blue") if kind == "choice" else ()})
    answers = iter(f"#### {text}" for text in texts)
    finished, _ = solved(self_consistent(problem, [cot(problem) for _ in texts]), {"cot": lambda *_: next(answers)})
    assert finished.result.text == f"#### {winner}"


@given(st.lists(st.sampled_from(["", "1", "2", "2.0", "3"]), max_size=9))
def test_no_answer_is_more_frequent_than_the_one_that_wins(answers: Sequence[str]) -> None:
    places = most_frequent(PENS, answers)
    values = [float(answer) for answer in answers if answer]
    assert len(places) == max((values.count(value) for value in values), default=0)
    assert len({float(answers[place]) for place in places}) == bool(values)


def test_the_calculators_counts_are_those_of_all_samples() -> None:
    def opened(number: int) -> Dialogue:
        return with_calculator(cot(PENS), reseeded(WARM, number))

    def script(prompt: Prompt, _: Sampling) -> str:
        return " #### 6" if prompt.begun else "<<3*2=5>>"

    finished, _ = solved(self_consistent(PENS, [opened(number) for number in range(4)]), {"cot": script})
    assert (finished.result.marks, finished.result.marks_changed, finished.result.votes) == (4, 4, ("6",) * 4)


# --- decompositions


def decomposed(strategy: Strategy, scripts: dict[str, Script], *, count: int = 3, samples: int = 3) -> tuple:  # type: ignore[type-arg]
    dialogue = best_decomposition(
        PENS,
        lambda sampling, around: with_sampling(around(strategy.dialogue(PENS)), sampling),
        decompositions=count,
        samples=samples,
        sampling=WARM,
    )
    return solved(dialogue, scripts)


def number_of(sampling: Sampling) -> tuple[int, int]:
    """Say which sample of which decomposition is asked."""
    [place] = [
        (number, sample)
        for number in range(9)
        for sample in range(9)
        if reseeded(WARM, number, sample).seed == sampling.seed
    ]
    return place


def decomposer(prompt: Prompt, sampling: Sampling) -> str:
    """Ask one or two questions, by the number of the decomposition."""
    number, sample = number_of(sampling)
    assert sample == 0, "a decomposition is written once"
    asked = len(prompt.pieces) // 2
    return "[done]" if asked > number % 2 else f"question {number}.{asked}?"


def solver_saying(answers: dict[int, Sequence[str]]) -> Script:
    def script(prompt: Prompt, sampling: Sampling) -> str:
        number, sample = number_of(sampling)
        assert prompt.pieces[-1].startswith(f"question {number}."), "each is solved by its own subquestions"
        return f"#### {answers[number][sample]}"

    return script


def test_the_decomposition_on_which_the_solver_agrees_most_wins() -> None:
    answers = {0: ("1", "2", "3"), 1: ("4", "5", "5"), 2: ("6", "6", "6")}
    finished, engines = decomposed(
        named_strategy("socratic_iterative"), {"decomposer": decomposer, "solver": solver_saying(answers)}
    )
    assert finished.result.text == "#### 6"
    assert [step.subquestion for step in finished.result.steps] == ["question 2.0?"]
    assert finished.result.votes == ("1", "2", "3", "4", "5", "5", "6", "6", "6")
    assert len(engines["decomposer"].asked) == 2 + 3 + 2, "nobody decomposes again what is solved again"
    assert len(engines["solver"].asked) == 3 * 1 + 3 * 2 + 3 * 1


def test_the_solution_is_the_first_with_the_winning_answer() -> None:
    answers = {0: ("1", "2", "3"), 1: ("4", "5", "5"), 2: ("7", "8", "9")}
    finished, _ = decomposed(
        named_strategy("socratic_iterative"), {"decomposer": decomposer, "solver": solver_saying(answers)}
    )
    assert finished.result.text == "#### 5"
    assert [step.subquestion for step in finished.result.steps] == ["question 1.0?", "question 1.1?"]


def test_among_equals_the_one_wins_whose_answer_most_of_all_solutions_give_then_the_first() -> None:
    scripts = {
        "decomposer": decomposer,
        "solver": solver_saying({0: ("1", "1", "3"), 1: ("4", "4", "6"), 2: ("4", "5", "7")}),
    }
    finished, _ = decomposed(named_strategy("socratic_iterative"), scripts)
    assert finished.result.text == "#### 4"
    scripts["solver"] = solver_saying({0: ("1", "1", "3"), 1: ("4", "4", "6"), 2: ("8", "5", "7")})
    finished, _ = decomposed(named_strategy("socratic_iterative"), scripts)
    assert finished.result.text == "#### 1"


def test_a_plan_is_sampled_and_solved_several_times_too() -> None:
    answers = {0: ("1", "2", "3"), 1: ("4", "5", "5")}
    finished, engines = decomposed(
        named_strategy("socratic_planned"),
        {"planner": lambda _, sampling: f"question {number_of(sampling)[0]}.0?", "solver": solver_saying(answers)},
        count=2,
    )
    assert finished.result.text == "#### 5"
    assert (len(engines["planner"].asked), len(engines["solver"].asked)) == (2, 6)


def test_one_that_comes_to_no_end_is_not_solved_again_and_loses_to_any_that_is_read() -> None:
    def endless(prompt: Prompt, sampling: Sampling) -> str:
        return "why? " * 60 if number_of(sampling)[0] == 0 else decomposer(prompt, sampling)

    scripts: dict[str, Script] = {"decomposer": endless, "solver": solver_saying({1: ("4", "5")})}
    finished, _ = decomposed(named_strategy("socratic_iterative"), scripts, count=2, samples=2)
    assert (finished.result.text, finished.result.votes) == ("#### 4", ("", "4", "5"))


def test_where_nothing_can_be_read_the_first_solution_says_why() -> None:
    scripts: dict[str, Script] = {"decomposer": lambda *_: "why? " * 60, "solver": lambda *_: "#### 1"}
    finished, _ = decomposed(named_strategy("socratic_iterative"), scripts)
    assert (finished.result.unfinished, finished.result.votes) == ("decomposer_length", ("", "", ""))
