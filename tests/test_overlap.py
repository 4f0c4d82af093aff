"""The contamination audit: what counts as shared, masked and not, and that it is fast enough to be in every report."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.reasoning.overlap import Overlap, mask, overlap, words
from socratic_distill.records import Annotation, Problem, Step

PENS = "Ann buys 3 red pens and 12 blue pens at $2 each. How much does she pay for all of them?"


def problem(name: str, question: str) -> Problem:
    return Problem(id=name, split="test", question=question, answer="1", answer_kind="number")


def audit(test: list[str], train: list[str], annotations: tuple[Annotation, ...] = (), n: int = 8) -> Overlap:
    """Audit questions, whose problems are t0, t1 and so on, and l0, l1 and so on."""
    asked = [problem(f"t{place}", question) for place, question in enumerate(test)]
    learned = [problem(f"l{place}", question) for place, question in enumerate(train)]
    found = overlap(asked, learned, annotations, n=n)
    assert found is not None
    return found


def counts(found: Overlap) -> tuple[int, ...]:
    return found.exact, found.any, found.most, found.exact_masked, found.any_masked, found.most_masked


def test_case_punctuation_and_spaces_make_no_difference() -> None:
    found = audit([PENS], ["Nothing of it", PENS.upper().replace(" ", "  ").replace(".", " -")])
    assert counts(found) == (1, 1, 1, 1, 1, 1)
    assert found.examples == (("t0", "l1"),)
    assert (found.n, found.problems) == (8, 1)


def test_other_numbers_in_one_template_are_found_by_masking_alone() -> None:
    found = audit([PENS], [PENS.replace("3", "1,400").replace("12", "7.5").replace("2", "9")])
    assert counts(found) == (0, 1, 0, 1, 1, 1)
    assert audit(["A 1 b 2 c"], ["A 3 b 4 c"]).examples == (("t0", "l0"),)


def test_half_of_the_n_grams_are_most_and_one_is_any() -> None:
    ten = "a b c d e f g h i j"  # three n-grams of eight
    assert counts(audit([ten], ["x a b c d e f g h i"])) == (0, 1, 1, 0, 1, 1)
    assert counts(audit([ten], ["x a b c d e f g h x"])) == (0, 1, 0, 0, 1, 0)
    assert counts(audit([ten], ["x a b c d e f g x"])) == (0, 0, 0, 0, 0, 0)


def test_a_short_question_is_looked_for_as_a_whole_in_texts_of_any_length() -> None:
    asked = ["Can a goat read?"]
    assert counts(audit(asked, ["Tell me, can a goat read a book?"])) == (0, 1, 1, 0, 1, 1)
    assert counts(audit(asked, ["can a goat read"])) == (1, 1, 1, 1, 1, 1)
    assert counts(audit(asked, ["Can a goat", "a goat read"])) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("place", ["rationale", "subquestion", "solution"])
def test_annotations_are_training_texts_too(place: str) -> None:
    written = {"subquestion": "", "solution": "", "rationale": "", place: f"So: {PENS}"}
    step = Step(subquestion=written["subquestion"], solution=written["solution"])
    annotation = Annotation(problem="l0", source="human", rationale=written["rationale"], steps=(step,))
    found = audit([PENS], ["Quite another question."], (annotation,))
    assert counts(found) == (0, 1, 1, 0, 1, 1)
    assert found.examples == (("t0", "l0"),)


def test_n_grams_do_not_run_on_from_one_text_into_the_next() -> None:
    halves = PENS.split(" at ")
    annotation = Annotation(problem="l0", source="human", steps=(Step(subquestion=halves[0], solution=halves[1]),))
    joined = audit([PENS], ["x"], (annotation,), n=19)
    assert counts(joined) == (0, 0, 0, 0, 0, 0)


def test_the_worst_come_first_and_are_few() -> None:
    test = [f"{PENS} {' '.join(f'w{place}{extra}' for extra in range(place))}" for place in range(8)]
    assert [name for name, _ in audit(test, [PENS]).examples] == ["t0", "t1", "t2", "t3", "t4"]


def test_an_empty_question_shares_nothing() -> None:
    assert counts(audit(["", "?!"], ["", "..."])) == (0, 0, 0, 0, 0, 0)


def test_without_problems_on_either_side_there_is_no_audit() -> None:
    assert overlap([], [problem("l", PENS)], ()) is None
    assert overlap([problem("t", PENS)], [], ()) is None


def test_words_are_normalised() -> None:
    assert words("It's $1,200.50, e.g. 3/4; ÉTÉ_2") == ("it's", "1200.50", "e", "g", "3", "4", "été", "2")
    assert mask(words("7 of 1,000.5")) == ("0", "of", "0")


@given(st.lists(st.text(alphabet="ab1,. ", max_size=30), min_size=1, max_size=5), st.integers(1, 4))
def test_questions_to_learn_from_are_wholly_in_them(questions: list[str], n: int) -> None:
    asked = [question for question in questions if words(question)]
    if asked:
        assert counts(audit(asked, questions, n=n)) == (len(asked),) * 6


def test_all_of_gsm8k_is_audited_in_seconds(shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "gsm8k" / "train.jsonl").open(encoding="utf-8")]
    learned = [problem(f"l{place}", row["question"]) for place, row in enumerate(rows)]
    annotations = [
        Annotation(problem=one.id, source="human", rationale=row["answer"])
        for one, row in zip(learned, rows, strict=True)
    ]
    started = time.process_time()
    found = overlap(learned[:1319], learned, annotations)
    assert found is not None and counts(found) == (1319,) * 6
    assert time.process_time() - started < 30  # it takes about two


def test_published_splits_share_little(shared: Path) -> None:
    def questions(name: str) -> list[Problem]:
        rows = [json.loads(line) for line in (shared / "gsm8k" / f"{name}.jsonl").open(encoding="utf-8")]
        return [problem(f"{name}/{place}", row["question"]) for place, row in enumerate(rows, 1)]

    found = overlap(questions("socratic_validation"), questions("train"), ())
    assert found is not None and found.problems == 200
    assert found.exact == found.most == 0
    assert 0 < found.any <= found.any_masked < 40
