"""Recipes: every key is known, every value is typed, and what is written reads back equal."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socratic_distill.errors import UserError
from socratic_distill.reasoning.strategies import named_strategy
from socratic_distill.recipe import Lora, Problems, Recipe, Scratch, Solve, Train, dump_recipe, load_recipe

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.toml"))
SMALL = """\
name = "small"
[problems]
dataset = "grade_school"
train = "count=40"
test = "count=8"
[train]
epochs = 2
[solve.cot]
strategy = "cot"
"""
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
POSITIVE = st.integers(1, 10_000)
RATES = st.floats(1e-9, 1e3)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_under_its_own_name(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert all(named_strategy(solve.strategy) for solve in recipe.solve.values())


def test_there_are_shipped_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize(
    "key",
    [
        "nane",
        "problems.tests",
        "annotate.teacher",
        "verify.rejected",
        "train.epochz",
        "train.scratch.width",
        "train.lora.r",
        "solve.cot.foo",
        "evaluate.bootstraps",
        "report.problem",
        "trian.epochs",
    ],
)
def test_an_unknown_key_is_refused_with_its_path(small: Path, key: str) -> None:
    named = "trian" if key.startswith("trian") else key
    with pytest.raises(UserError, match=rf"small\.toml: unknown key '{named}'$"):
        load_recipe(small, [f"{key}=3"])


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.epochs=5", 5),
        ("train.learning_rate=1e-3", 1e-3),
        ("train.learning_rate = 3", 3.0),
        ("train.dropout=0.1", 0.1),
        ("train.student=my/folder", "my/folder"),
        ('train.student="quoted"', "quoted"),
        ("train.lora.rank=4", 4),
        ('train.lora.targets=["q_proj", "v_proj"]', ("q_proj", "v_proj")),
        ("problems.train=count=10 steps=1-2", "count=10 steps=1-2"),
        ("problems.test_limit=7", 7),
        ("solve.cot.calculator=true", True),
        ("solve.new.strategy=cot", "cot"),
        ("solve.cot={strategy='answer_only'}", Solve(strategy="answer_only")),
    ],
)
def test_an_override_is_typed_as_the_recipe_is(small: Path, override: str, found: object) -> None:
    value: Any = load_recipe(small, [override])
    for key in override.partition("=")[0].strip().split("."):
        value = value[key] if isinstance(value, dict) else getattr(value, key)
    assert value == found
    assert type(value) is type(found)


def test_later_overrides_win_and_the_rest_stays(small: Path) -> None:
    recipe = load_recipe(small, ["train.epochs=5", "train.epochs=7"])
    assert recipe == load_recipe(small).model_copy(
        update={"train": load_recipe(small).train.model_copy(update={"epochs": 7})}
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs", "--set takes table.key=value, not 'train.epochs'"),
        ("name.x=1", "'name' is not a table"),
        ("train.epochs=0", "train.epochs: .*greater than or equal to 1"),
        ("train.epochs=two", "train.epochs: .*integer.*'two'"),
        ("train.epochs=2.5", "train.epochs: "),
        ("train.learning_rate=nan", "train.learning_rate: "),
        ("train.seed=20240501123", "train.seed: "),
        ("evaluate.seed=-1", "evaluate.seed: "),
        ("train.learning_rate=inf", "train.learning_rate: "),
        ("train.rows=some", "train.rows: .*'shared' or 'all'"),
        ("train.lora.targets=3", "train.lora.targets"),
        ("problems.validation=1", "problems.validation: .*less than 1"),
        ("problems.dataset=3", "problems.dataset: .*string"),
        ("solve.cot.engine=gguf", "solve.cot.engine: .*'transformers'"),
        ("solve.bad={}", "'solve.bad.strategy' is missing"),
        ("solve={}", r"no \[solve.<name>\] table"),
        ("solve=3", "solve: "),
        ("train=3", "train: "),
        ("=3", "unknown key ''"),
    ],
)
def test_a_bad_value_is_told_in_one_line(small: Path, override: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        load_recipe(small, [override])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", "a\\b", ".hidden", "-flag", "two words", "line\nbreak", "a" * 101]
)
def test_a_name_that_is_unsafe_as_a_file_is_refused(small: Path, name: str) -> None:
    quoted = '"' + name.replace("\\", "\\\\").replace("\n", "\\n") + '"'
    with pytest.raises(UserError, match="name: "):
        load_recipe(small, [f"name={quoted}"])
    with pytest.raises(UserError, match="solve"):
        load_recipe(small, [f"solve={{{quoted} = {{strategy = 'cot'}}}}"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = ", "is not TOML: "),
        (b'name = "a"\nname = "b"\n', "is not TOML: "),
        (b'name = "\xff"', "is not UTF-8 text: invalid start byte at byte 8"),
        (b"", "'name' is missing"),
        (SMALL.partition("[solve")[0].encode(), "'solve' is missing"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as told:
        load_recipe(path)
    assert "wrong.toml" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_recipe_that_is_not_there_is_told_in_one_line(small: Path) -> None:
    with pytest.raises(UserError, match="no recipe"):
        load_recipe(small.with_name("none.toml"))
    with pytest.raises(UserError, match="is a folder"):
        load_recipe(small.parent)
    with pytest.raises(UserError, match="can't read"):
        load_recipe(small / "below.toml")


@given(
    recipe=st.builds(
        Recipe,
        name=NAMES,
        problems=st.builds(Problems, dataset=TEXTS, train=TEXTS, test=TEXTS, train_limit=st.none() | POSITIVE),
        train=st.builds(
            Train,
            student=TEXTS,
            epochs=POSITIVE,
            learning_rate=RATES,
            warmup=st.floats(0, 0.99),
            dropout=st.none() | st.floats(0, 0.5),
            scratch=st.builds(Scratch, hidden=st.integers(8, 512)),
            lora=st.none() | st.builds(Lora, targets=st.just("all-linear") | st.lists(TEXTS).map(tuple)),
        ),
        solve=st.dictionaries(
            NAMES,
            st.builds(Solve, strategy=TEXTS, calculator=st.booleans(), facts=st.sampled_from([None, "none", "gold"])),
            min_size=1,
            max_size=3,
        ),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_a_written_recipe_reads_back_equal(tmp_path: Path, recipe: Recipe) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert dump_recipe(load_recipe(path)) == dump_recipe(recipe)


def test_a_written_recipe_states_every_setting(small: Path) -> None:
    written = dump_recipe(load_recipe(small))
    for setting in ("epochs = 2", "weight_decay = 0.01", "bootstrap = 10000", "calculator = false", "hidden = 128"):
        assert setting in written
