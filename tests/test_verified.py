"""Verified steps: what is wrong is asked again from there on, and the best try is taken."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import PENS, Script, solved

from socratic_distill.reasoning.dialogue import Ask, Dialogue, reseeded, with_calculator
from socratic_distill.reasoning.strategies import cot, socratic_iterative
from socratic_distill.reasoning.verified import RETRY_TEMPERATURE, with_verified_steps, wrong_equations
from socratic_distill.records import Completion, Prompt, Sampling, Solution

GREEDY = Sampling(max_tokens=50)


def tries(*texts: str) -> Script:
    """Write one text after another, whatever is asked; the last again and again."""
    left = list(texts)
    return lambda prompt, sampling: left.pop(0) if len(left) > 1 else left[0]


def verified(*texts: str, retries: int = 3, sampling: Sampling = GREEDY) -> tuple[Solution, list[str]]:
    """Let a student write a chain of thought in several tries; returns what each ask had begun, too."""
    dialogue = with_verified_steps(cot(PENS), sampling, retries=retries)
    finished, engines = solved(dialogue, {"cot": tries(*texts)})
    return finished.result, [prompt.begun for prompt, _ in engines["cot"].asked]


def test_what_is_right_is_asked_once() -> None:
    solution, begun = verified("3*2 = <<3*2=6>>6\n#### 6")
    assert (solution.text, solution.retries, begun) == ("3*2 = <<3*2=6>>6\n#### 6", 0, [""])


@pytest.mark.parametrize("wrong", ["3*2 = <<3*2=5>>5", "3*2 = 5", "so <<3*2=6>>6, then 6+1=8"])
def test_a_wrong_step_is_asked_again_marked_or_plain(wrong: str) -> None:
    solution, begun = verified(f"{wrong}\n#### 5", "3*2=6\n#### 6")
    assert (solution.text, solution.retries, begun) == ("3*2=6\n#### 6", 1, ["", ""])


@pytest.mark.parametrize("untold", ["no sum at all", "n + 1 = 5", "1/0 = 3", ""])
def test_what_the_calculator_cannot_tell_is_not_asked_again(untold: str) -> None:
    assert verified(untold)[0].retries == 0


def test_the_lines_before_the_wrong_one_are_kept() -> None:
    solution, begun = verified("1+1=2\n2+2=5\n5+5=10\n#### 10", "2+2=4\n4+4=8\n#### 8")
    assert begun == ["", "1+1=2\n"]
    assert solution.text == "1+1=2\n2+2=4\n4+4=8\n#### 8"


def test_what_is_still_wrong_is_asked_again_from_where_it_is_wrong_now() -> None:
    solution, begun = verified("1+1=3\n#### 3", "1+1=2\n2+2=5\n#### 5", "2+2=4\n#### 4")
    assert begun == ["", "", "1+1=2\n"]
    assert (solution.text, solution.retries) == ("1+1=2\n2+2=4\n#### 4", 2)


def test_after_so_many_retries_the_one_with_the_fewest_wrong_equations_is_taken() -> None:
    solution, begun = verified("a 1+1=3, b 2+2=5", "1+1=4", "1+1=5", "a 1+1=6, b 1+1=7")
    assert (solution.text, solution.retries, len(begun)) == ("1+1=4", 3, 4)
    assert verified("1+1=3", "1+1=4", retries=1)[0].text == "1+1=3", "among equals the first is taken"


def test_one_that_ends_is_taken_before_one_that_does_not() -> None:
    wrong = "1+1=3 #### 3"
    solution, _ = verified(wrong, "right " * 60, retries=2)
    assert (solution.text, solution.unfinished, solution.retries) == (wrong, "", 2)


def test_each_try_has_a_seed_of_its_own_and_a_temperature() -> None:
    own = Sampling(seed=5, max_tokens=9)
    dialogue = with_verified_steps(cot(PENS), own, retries=3)
    _, engines = solved(dialogue, {"cot": tries("1+1=3")})
    first, *again = [sampling for _, sampling in engines["cot"].asked]
    warm = own.model_copy(update={"temperature": RETRY_TEMPERATURE})
    assert first == own
    assert again == [reseeded(own, number).model_copy(update={"temperature": warm.temperature}) for number in (1, 2, 3)]
    assert len({one.seed for one in (first, *again)}) == 4


@pytest.mark.parametrize(("temperature", "taken"), [(None, 0.4), (0.9, 0.9)])
def test_the_temperature_is_that_given_else_the_asks_own(temperature: float | None, taken: float) -> None:
    dialogue = with_verified_steps(cot(PENS), Sampling(temperature=0.4), retries=1, temperature=temperature)
    _, engines = solved(dialogue, {"cot": tries("1+1=3")})
    assert [sampling.temperature for _, sampling in engines["cot"].asked] == [0.4, taken]


def test_a_wrong_step_of_the_solver_is_put_right_before_the_decomposer_reads_it() -> None:
    scripts = {"decomposer": tries("How many?", "[done]"), "solver": tries("3*2 = 5. #### 5", "3*2 = 6. #### 6")}
    dialogue = with_verified_steps(socratic_iterative(PENS), GREEDY, retries=2)
    finished, engines = solved(dialogue, scripts)
    assert finished.result.text == "3*2 = 6. #### 6"
    assert engines["decomposer"].asked[-1][0].pieces == (PENS.question, "How many?", "3*2 = 6. #### 6")
    assert [turn.text for turn in finished.turns] == ["How many?", "3*2 = 5. #### 5", "3*2 = 6. #### 6", "[done]"]


def test_what_the_calculator_puts_right_is_not_asked_again_and_what_it_leaves_is() -> None:
    def script(prompt: Prompt, sampling: Sampling) -> str:
        if prompt.begun:
            return "5." if sampling.temperature == 0 else "6. #### 6"
        return "3*2 = <<3*2=7>>"

    dialogue = with_calculator(with_verified_steps(cot(PENS), GREEDY, retries=2), GREEDY)
    finished, _ = solved(dialogue, {"cot": script})
    assert finished.result.text == "3*2 = <<3*2=6>>6. #### 6"
    assert (finished.result.retries, finished.result.marks, finished.result.marks_changed) == (1, 2, 2)

    fine = with_calculator(with_verified_steps(cot(PENS), GREEDY, retries=2), GREEDY)
    finished, _ = solved(fine, {"cot": lambda prompt, _: "6." if prompt.begun else "3*2 = <<3*2=7>>"})
    assert (finished.result.retries, finished.result.marks_changed) == (0, 1)


def test_asks_made_together_are_each_asked_again_by_themselves() -> None:
    def both() -> Dialogue:
        replies: tuple[Completion, ...] = yield (Ask("a", Prompt(pieces=("P",))), Ask("b", Prompt(pieces=("P",))))
        return Solution(text=" | ".join(reply.text for reply in replies))

    finished, _ = solved(
        with_verified_steps(both(), GREEDY, retries=5), {"a": tries("1+1=2"), "b": tries("1+1=3", "1+1=4", "2+2=4")}
    )
    assert (finished.result.text, finished.result.retries) == ("1+1=2 | 2+2=4", 2)
    assert [turn.student for turn in finished.turns] == ["a", "b", "b", "b"]


LINES = ["1+1=2", "1+1=3", "<<2*3=6>>6", "<<2*3=7>>7", "words", "", "#### 4"]


@given(st.lists(st.lists(st.sampled_from(LINES), max_size=5), min_size=1, max_size=6), st.integers(1, 4))
def test_whatever_is_written_the_end_is_no_worse_than_the_beginning(texts: Sequence[Sequence[str]], most: int) -> None:
    written = ["\n".join(lines) for lines in texts]
    solution, begun = verified(*written, retries=most, sampling=Sampling(max_tokens=1000))
    assert len(begun) == 1 + (solution.retries or 0) <= 1 + most
    first, last = (sum(map(wrong_equations, text.splitlines())) for text in (written[0], solution.text))
    assert last <= first
    if last:
        assert solution.retries == most
