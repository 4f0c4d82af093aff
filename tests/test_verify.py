"""What is kept of annotations: by checks, by majority, by choice among attempts; and the funnel that counts it."""

import random
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.artifacts import read_manifest, read_rows, write_manifest, write_rows
from socratic_distill.errors import UserError
from socratic_distill.pipeline import run_stages
from socratic_distill.recipe import CheckName, Problems, Recipe, Solve, Verify
from socratic_distill.records import Annotation, Problem, Step, Verdict
from socratic_distill.reporting.funnel import UNANSWERED, Funnel, funnel_of, layers
from socratic_distill.run import QUIET, NotMade, Run, Track
from socratic_distill.stages.evaluate import summarise
from socratic_distill.stages.report import read_summary
from socratic_distill.stages.verify import choose, judge_attempts, majority_answer, overlap, targets, trigrams, verdicts

ROWS = "A shelf has 3 rows of 4 books, so 3*4 = 12 books."
AGAIN = "A shelf has 3 rows of 4 books, so 3*4 = 12 books!"
OTHER = "Each of the rows holds 4 books; with 3 rows that makes 4+4+4 = 12 in all, for 3*4 = 12."
WRONG = "A shelf has 3 rows of 4 books, so 3*4 = 13 books."


def problem(name: str = "p", answer: str = "12", kind: str = "number") -> Problem:
    question = "A shelf has 3 rows of 4 books. How many books are there?"
    return Problem.model_validate(
        {"id": name, "split": "train", "question": question, "answer": answer, "answer_kind": kind}
    )


def attempt(
    number: int, rationale: str = ROWS, answer: str = "12", unreadable: str = "", name: str = "p", cut: bool = False
) -> Annotation:
    return Annotation(
        problem=name,
        source="teacher",
        attempt=number,
        rationale="" if unreadable else rationale,
        answer="" if unreadable else answer,
        unreadable=unreadable,
        cut=cut,
    )


def reasons(attempts: list[Annotation], settings: Verify, gold: str = "12") -> list[str]:
    """Why each attempt at one problem is not kept; empty where it is."""
    judged = judge_attempts(problem(answer=gold), attempts, settings)
    assert [one.kept for one in judged] == [not one.reason for one in judged]
    return [one.reason for one in judged]


def test_only_another_answer_rejects_unless_the_recipe_says_more() -> None:
    attempts = [attempt(0), attempt(1, WRONG), attempt(2, OTHER, answer="13"), attempt(3, OTHER, cut=True)]
    first, second, third, fourth = judge_attempts(problem(), attempts, Verify(near_duplicate=1))
    assert (first.kept, first.reason, first.marks, first.consistent) == (True, "", (), True)
    assert (second.kept, second.marks) == (True, ("arithmetic",))
    assert (third.kept, third.reason, third.consistent) == (False, "answer", False)
    assert (fourth.kept, fourth.marks, fourth.majority) == (True, ("cut",), None)


def test_the_first_check_that_fails_is_the_reason_and_only_others_mark() -> None:
    wrong = attempt(0, WRONG, answer="13", cut=True)
    settings = Verify(reject=("arithmetic", "answer"))
    (found,) = judge_attempts(problem(), [wrong], settings)
    assert (found.reason, found.marks, found.consistent) == ("arithmetic", ("cut",), False)
    (found,) = judge_attempts(problem(), [wrong], Verify(reject=()))
    assert (found.kept, found.marks) == (True, ("answer", "arithmetic", "cut"))


def test_what_could_not_be_read_is_rejected_for_that_reason_whatever_the_recipe() -> None:
    (found,) = judge_attempts(problem(), [attempt(0, unreadable="no_answer")], Verify(reject=()))
    assert (found.kept, found.reason, found.marks, found.consistent) == (False, "no_answer", (), None)


def test_a_human_answer_without_reasoning_is_kept() -> None:
    human = Annotation(problem="p", source="human", answer="12")
    (found,) = judge_attempts(problem(), [human], Verify())
    assert found == Verdict(problem="p", attempt=0, kept=True, consistent=True)


def test_attempts_that_are_much_alike_are_kept_once() -> None:
    assert reasons([attempt(0), attempt(1, AGAIN), attempt(2, OTHER)], Verify()) == ["", "near_duplicate", ""]
    minus = ROWS.replace("*", "+")
    assert overlap(trigrams(attempt(0)), trigrams(attempt(1, minus))) < 1, "operators are words"
    assert reasons([attempt(0), attempt(1, minus)], Verify(near_duplicate=1)) == ["", ""]


def test_likeness_is_the_share_of_word_trigrams_in_both() -> None:
    one, other = attempt(0, "one two three four"), attempt(1, "One, two - three. five")
    assert overlap(trigrams(one), trigrams(attempt(1, "one two three five"))) == pytest.approx(1 / 3)
    assert overlap(trigrams(one), trigrams(other)) == 0, "a lone operator is a word"
    assert overlap(trigrams(one), trigrams(one)) == 1
    short = attempt(2, "", answer="12")
    assert overlap(trigrams(short), trigrams(attempt(3, "", answer="12"))) == 1
    assert overlap(trigrams(short), trigrams(attempt(3, "", answer="13"))) == 0
    steps = (Step(subquestion="What?", solution="Four.", answer="4"),)
    assert overlap(trigrams(Annotation(problem="p", source="t", steps=steps)), trigrams(attempt(0, "what four 4"))) == 1


@pytest.mark.parametrize(
    ("keep", "most", "kept"),
    [
        ("first", None, [1]),
        ("first", 3, [1]),
        ("distinct", None, [1, 2]),
        ("distinct", 1, [1]),
        ("most_verified", None, [1, 2]),
        ("most_verified", 1, [2]),
    ],
)
def test_a_recipe_chooses_among_consistent_attempts(keep: str, most: int | None, kept: list[int]) -> None:
    settings = Verify.model_validate({"keep": keep, "at_most": most})
    attempts = [attempt(0, answer="13"), attempt(1), attempt(2, OTHER), attempt(3, AGAIN)]
    for order in (attempts, attempts[::-1]):
        judged = judge_attempts(problem(), order, settings)
        assert sorted(one.attempt for one in judged if one.kept) == kept
        assert next(one.reason for one in judged if one.attempt == 0) == "answer"
        left_out = {one.reason for one in judged if not one.kept and one.consistent}
        assert left_out == ({"near_duplicate"} if most is None and keep != "first" else {"not_chosen"})


def test_an_equation_that_is_said_twice_is_verified_once() -> None:
    twice = attempt(0, "3*4 = <<3*4=12>>12, and again 3*4 = 12, and wrongly 4*4 = 12.")
    better = attempt(1, "3*2 = 6. So 6*2 = 12.")
    assert choose([twice, better], Verify(keep="most_verified", at_most=1)) == ["not_chosen", ""]


@pytest.mark.parametrize(
    ("answers", "winner", "share"),
    [
        (["12", "13", "12.0"], "12", 2 / 3),
        (["12", "13", ""], "", 1 / 3),
        (["12", "none", "???"], "12", 1 / 3),
        (["12"], "12", 1.0),
        (["12", "13", "13", "12"], "", 1 / 2),
        (["", "none"], "", 0.0),
        ([], "", 0.0),
    ],
)
def test_the_majority_is_the_answer_of_most_readable_attempts(answers: list[str], winner: str, share: float) -> None:
    attempts = [attempt(number, answer=answer) for number, answer in enumerate(answers)]
    unread = attempt(9, unreadable="no_answer")
    assert majority_answer(problem(), [*attempts, unread]) == (winner, pytest.approx(share))


def test_without_gold_the_majority_plays_it_and_its_share_is_kept() -> None:
    attempts = [attempt(0, answer="13"), attempt(1, answer="13.0", rationale=OTHER), attempt(2, answer="12")]
    attempts.append(attempt(3, unreadable="length"))
    judged = judge_attempts(problem(answer="12"), attempts, Verify(gold="majority"))
    assert [one.reason for one in judged] == ["", "", "answer", "length"]
    assert [one.consistent for one in judged] == [True, True, False, None]
    assert [one.majority for one in judged] == [pytest.approx(2 / 3)] * 4
    tied = judge_attempts(problem(), attempts[1:3], Verify(gold="majority"))
    assert [(one.reason, one.majority) for one in tied] == [("answer", 0.5)] * 2


RATIONALES = st.sampled_from([ROWS, AGAIN, OTHER, WRONG, ""])
ATTEMPTS = st.lists(
    st.builds(
        lambda name, rationale, answer, unreadable, cut: attempt(0, rationale, answer, unreadable, name, cut),
        st.sampled_from("abc"),
        RATIONALES,
        st.sampled_from(["12", "12.0", "13", "", "yes"]),
        st.sampled_from(["", "", "", "no_answer", "failed", "over_budget"]),
        st.booleans(),
    ),
    max_size=12,
).map(lambda found: [one.model_copy(update={"attempt": number}) for number, one in enumerate(found)])
SETTINGS = st.builds(
    Verify,
    reject=st.lists(st.sampled_from(get_args(CheckName)), unique=True, max_size=3).map(lambda some: ("answer", *some)),
    gold=st.sampled_from(["given", "majority"]),
    keep=st.sampled_from(["first", "distinct", "most_verified"]),
    at_most=st.none() | st.integers(1, 3),
    near_duplicate=st.sampled_from([0.2, 0.9, 1.0]),
)
PROBLEMS = {name: problem(name) for name in "abc"}


@given(ATTEMPTS, SETTINGS, st.randoms(use_true_random=False))
def test_verdicts_hold_their_promises(attempts: list[Annotation], settings: Verify, draw: random.Random) -> None:
    judged = verdicts(PROBLEMS, attempts, settings)
    assert [(one.problem, one.attempt) for one in judged] == [(one.problem, one.attempt) for one in attempts]
    for one, annotation in zip(judged, attempts, strict=True):
        assert one.kept == (not one.reason)
        assert one.consistent or not one.kept
        assert (one.consistent is None) == bool(annotation.unreadable)
        assert not set(one.marks) & set(settings.reject)
    for name in PROBLEMS:
        there = [one for one in judged if one.problem == name]
        kept = sum(one.kept for one in there)
        assert kept <= (1 if settings.keep == "first" else settings.at_most or kept)
        if any(one.reason in ("near_duplicate", "not_chosen") for one in there):
            assert kept, "one of those that no check rejects is kept"
    shuffled = draw.sample(attempts, len(attempts))
    again = {one.attempt: one for one in verdicts(PROBLEMS, shuffled, settings)}
    assert [again[one.attempt] for one in judged] == judged
    alone = [one for one in attempts if one.problem == "a"]
    assert verdicts(PROBLEMS, alone, settings) == [one for one in judged if one.problem == "a"]

    funnel = funnel_of(attempts, judged, source="teacher")
    assert funnel.asked >= funnel.answered >= funnel.readable >= funnel.consistent >= funnel.kept
    assert funnel.asked == funnel.kept + sum(funnel.reasons.values()) == len(attempts)
    unanswered = sum(count for reason, count in funnel.reasons.items() if reason in UNANSWERED)
    assert unanswered == funnel.asked - funnel.answered
    assert funnel.reasons.get("no_answer", 0) == funnel.answered - funnel.readable
    lost = [layer for layer in layers(funnel) if layer.lost]
    assert sum(layer.annotations for layer in lost) == funnel.asked - funnel.kept


@given(ATTEMPTS)
def test_by_default_all_consistent_attempts_that_differ_are_kept(attempts: list[Annotation]) -> None:
    judged = verdicts(PROBLEMS, attempts, Verify())
    kept = [trigrams(one) for one, verdict in zip(attempts, judged, strict=True) if verdict.kept]
    for one, verdict in zip(attempts, judged, strict=True):
        if verdict.consistent and not verdict.kept:
            assert verdict.reason == "near_duplicate"
            assert max(overlap(trigrams(one), other) for other in kept) >= 0.9
    assert sum(one.kept for one in judged) >= len({one.problem for one in judged if one.consistent})


class Listening:
    """Progress that keeps what it was told; `fakes` has one too, beside torch, which nothing here needs."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def track(self, text: str, total: float, *, done: float = 0) -> AbstractContextManager[Track]:
        return QUIET.track(text, total, done=done)


def make_run(folder: Path, annotations: list[Annotation], settings: Verify) -> Run:
    """A run that is annotated."""
    run = Run(
        Recipe(
            name="own",
            problems=Problems(dataset="files", train="none", test="none"),
            verify=settings,
            solve={"cot": Solve(strategy="cot", trained=False)},
        ),
        folder,
        Listening(),
    )
    write_rows(run.path("problems.jsonl"), PROBLEMS.values())
    write_rows(run.path("annotations.jsonl"), annotations)
    for name in ("problems", "annotations"):
        write_manifest(run.path(f"{name}.jsonl"), settings={}, inputs={}, facts={})
    return run


def verified(run: Run) -> None:
    """Do the stage."""
    (target,) = targets(run)
    write_manifest(run.path(target.artifact), settings=target.settings, inputs=target.inputs, facts=target.make())


def test_the_stage_writes_verdicts_and_counts_them(tmp_path: Path) -> None:
    attempts = [attempt(0, name="a"), attempt(0, WRONG, name="b"), attempt(1, name="a", unreadable="no_answer")]
    run = make_run(tmp_path, attempts, Verify())
    verified(run)
    found = read_rows(run.path("verdicts.jsonl"), Verdict)
    assert found == verdicts(PROBLEMS, attempts, Verify())
    assert run.kept() == attempts[:2]
    manifest = read_manifest(run.path("verdicts.jsonl")) or {}
    assert (manifest["rows"], manifest["kept"]) == (3, 2)
    assert (manifest["reasons"], manifest["marks"]) == ({"no_answer": 1}, {"arithmetic": 1})
    counted = Funnel.model_validate(manifest["funnel"])
    assert (counted.asked, counted.answered, counted.readable, counted.consistent) == (3, 3, 2, 2)
    assert isinstance(run.progress, Listening)
    assert run.progress.said == ["kept 2 of 3 annotations; not kept: no_answer 1"]


def test_the_summary_has_the_funnel_and_what_the_annotations_cost(tmp_path: Path) -> None:
    run = make_run(tmp_path, [attempt(0, name="a"), attempt(0, name="b", answer="13")], Verify())
    assert summarise(run, [], {}).funnel == Funnel(source="human")
    verified(run)
    found = summarise(run, [], {}).funnel
    assert (found.asked, found.kept, found.reasons, found.spending) == (2, 1, {"answer": 1}, {})
    paid = {"usd": 0.5, "requests": 2}
    write_manifest(run.path("annotations.jsonl"), settings={}, inputs={}, facts={"spending": paid})
    assert summarise(run, [], {}).funnel == found.model_copy(update={"spending": paid})


def test_a_summary_of_another_version_is_to_be_made_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], Verify())
    run.path("summary.json").write_text('{"name": "own", "annotations": {"kept": 1}}')
    with pytest.raises(NotMade, match="run `socratic evaluate` first"):
        read_summary(run)


def test_bounds_that_nothing_meets_are_a_mistake_told_in_a_line(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], Verify(min_steps=3, max_steps=2))
    with pytest.raises(UserError, match=r"verify.min_steps = 3 is more than verify.max_steps = 2"):
        verified(run)


@pytest.mark.parametrize(
    ("dataset", "train", "test"),
    [
        ("gsm8k", "gsm8k/socratic_train.jsonl", "gsm8k/socratic_validation.jsonl"),
        ("svamp", "svamp/train.json", "svamp/validation.json"),
        ("strategyqa", "strategyqa/train.json", "strategyqa/validation.json"),
    ],
)
def test_all_that_humans_wrote_is_kept_by_default(
    shared: Path, tmp_path: Path, dataset: str, train: str, test: str
) -> None:
    problems = Problems(dataset=dataset, train=str(shared / train), test=str(shared / test))
    run = Run(Recipe(name="own", problems=problems, solve={"cot": Solve(strategy="cot")}), tmp_path, QUIET)
    run_stages(run, ["load", "annotate", "verify"])
    found = read_rows(run.path("verdicts.jsonl"), Verdict)
    assert len(found) == len(run.problems("train", "validation"))
    assert all(one.kept and one.consistent for one in found)
    marked = Counter(mark for one in found for mark in one.marks)
    assert {mark for mark, count in marked.items() if count > len(found) // 20} <= {"repeated_subquestion"}
