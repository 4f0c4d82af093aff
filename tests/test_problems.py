"""Loading for a run: limits, the validation cut, leaks between sources, and the table of data sets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.problems import DATASETS, Dataset, load_problems, register_dataset
from socratic_distill.records import Problem, Split


def numbered(count: int, *, split: Split, offset: int = 0) -> Iterator[Problem]:
    for place in range(offset, offset + count):
        yield Problem(
            id=f"{split}/{place}",
            split=split,
            question=f"What is {place} + 1?",
            answer=f"{place + 1}",
            answer_kind="number",
        )


@pytest.fixture(scope="module")
def counting() -> Iterator[str]:
    """A data set registered as a user would; its source `N` or `N+offset` says how many problems to make."""

    def load(source: str, *, split: Split) -> Iterator[Problem]:
        count, _, offset = source.partition("+")
        return numbered(int(count), split=split, offset=int(offset or 0))

    register_dataset(Dataset("counting", load, ("number",)))
    yield "counting"
    del DATASETS["counting"]


def ids(problems: list[Problem], split: Split) -> list[str]:
    return [problem.id for problem in problems if problem.split == split]


def test_validation_is_a_tenth_of_train_and_never_of_test(counting: str) -> None:
    problems = load_problems(counting, train="200", test="50+1000")
    assert [len(ids(problems, split)) for split in ("train", "validation", "test")] == [180, 20, 50]
    assert not any(problem.id.startswith("test") for problem in problems if problem.split != "test")


@given(
    limits=st.tuples(st.integers(2, 60), st.integers(2, 60)).map(sorted),
    validation=st.floats(0, 0.5),
    seed=st.integers(0, 5),
)
def test_a_larger_limit_keeps_what_a_smaller_one_drew_on_its_side_of_the_cut(
    counting: str, limits: list[int], validation: float, seed: int
) -> None:
    smaller, larger = (
        load_problems(
            counting, train="60", test="9+900", train_limit=limit, test_limit=4, validation=validation, seed=seed
        )
        for limit in limits
    )
    for split in ("train", "validation", "test"):
        assert set(ids(smaller, split)) <= set(ids(larger, split))
    assert len(ids(smaller, "train")) + len(ids(smaller, "validation")) == limits[0]
    assert len(ids(smaller, "validation")) == round(limits[0] * validation)
    assert len(ids(smaller, "test")) == 4


def test_the_order_of_the_source_is_kept_and_another_seed_draws_others(counting: str) -> None:
    first, second = (load_problems(counting, train="100", test="5+500", train_limit=20, seed=seed) for seed in (0, 1))
    places = [int(problem.id.partition("/")[2]) for problem in first if problem.split != "test"]
    assert places == sorted(places)
    assert {problem.id for problem in first} != {problem.id for problem in second}
    assert first == load_problems(counting, train="100", test="5+500", train_limit=20, seed=0)


def test_equal_questions_are_never_on_both_sides_of_the_cut(tmp_path: Path) -> None:
    twice = [{"question": f"What is {place // 2} + 1?", "answer": place // 2 + 1} for place in range(40)]
    train, test = (
        written(tmp_path / "train.jsonl", twice),
        written(tmp_path / "test.jsonl", [{"question": "?", "answer": 1}]),
    )
    problems = load_problems("files", train=train, test=test, validation=0.3)
    asked = {
        split: {problem.question for problem in problems if problem.split == split} for split in ("train", "validation")
    }
    assert asked["train"] and asked["validation"]
    assert not asked["train"] & asked["validation"]


def test_a_test_question_that_train_holds_is_remarked(tmp_path: Path) -> None:
    train = written(
        tmp_path / "train.jsonl", [{"question": f"What is {one} + 2?", "answer": one + 2} for one in range(9)]
    )
    test = written(
        tmp_path / "test.jsonl", [{"question": "What  is 3 + 2?", "answer": 5}, {"question": "Why?", "answer": 1}]
    )
    problems = load_problems("files", train=train, test=test, train_limit=2)
    assert [problem.remarks for problem in problems if problem.split == "test"] == [("also_in_train",), ()]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train_limit": 0}, "train_limit = 0 draws nothing"),
        ({"test_limit": -1}, "test_limit = -1 draws nothing"),
        ({"validation": 1.0}, "validation = 1.0 is no share of train"),
        ({"validation": 0.9, "train_limit": 1}, "leaves nothing of 1 problems to train on"),
        ({"test": "3+0", "train": ""}, "data set 'counting' has no train source of its own"),
        ({"train": "0"}, "no problems"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(counting: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        load_problems(counting, **{"train": "5", "test": "3+50", **settings})  # type: ignore[arg-type]  # on purpose
    assert said in str(error.value)


def test_one_file_as_train_and_test_is_refused(tmp_path: Path) -> None:
    same = written(tmp_path / "own.jsonl", [{"question": "What is 2 + 3?", "answer": 5}])
    with pytest.raises(UserError, match="'own/1' is in both train and test"):
        load_problems("files", train=same, test=same)


def test_an_id_that_comes_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    train = written(tmp_path / "a.jsonl", [{"question": f"{one}?", "answer": one, "id": "x"} for one in range(2)])
    with pytest.raises(UserError, match="'x' is twice in train"):
        load_problems("files", train=train, test=train)


def test_an_unknown_data_set_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown data set 'gsm9k'; choose one of gsm8k, svamp"):
        load_problems("gsm9k", train="a", test="b")


def test_a_taken_name_can_not_be_registered_again() -> None:
    with pytest.raises(UserError, match="exists already"):
        register_dataset(DATASETS["svamp"])


def test_every_data_set_stands_under_its_own_name_and_published_ones_know_their_sources() -> None:
    assert all(name == dataset.name for name, dataset in DATASETS.items())
    for name in ("gsm8k", "svamp", "strategyqa"):
        assert DATASETS[name].train != DATASETS[name].test != ""


def test_procedural_problems_load_and_share_no_question_with_test() -> None:
    problems = load_problems("grade_school", train="count=40 seed=1", test="count=20 seed=1")
    assert [len(ids(problems, split)) for split in ("train", "validation", "test")] == [36, 4, 20]
    assert not any("also_in_train" in problem.remarks for problem in problems)


def written(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
