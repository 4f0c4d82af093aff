"""A study's TOML: a base recipe, axes whose values are partial recipes, and seeds; read into the runs that it means."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from socratic_distill.errors import UserError
from socratic_distill.recipe import Recipe, recipe_of
from socratic_distill.records import Record
from socratic_distill.settings import Name, Settings, read_tables, settings_of

AxisKind = Literal["size", "amount", "category"]


class Study(Settings):
    """A whole study."""

    name: Name
    recipe: str
    """The base recipe's file, found from the study's own."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Each trains its own students; one value of an axis may name fewer, by a key `seeds`."""
    solves: tuple[Name, ...] | None = Field(None, min_length=1)
    """Which of the recipe's solves to take; all where not given."""
    set: dict[str, Any] = Field(default_factory=dict)
    """A partial recipe for all runs."""
    axes: dict[Name, dict[Name, dict[str, Any]]] = Field(default_factory=dict)
    """By axis and value: a partial recipe."""
    contrasts: tuple[tuple[str, str], ...] = ()
    """Pairs of `cell/solve` to compare beyond those within each cell; a cell is its values joined by `-`."""
    margin: float = Field(0.05, gt=0, lt=1)
    """Accuracies this near count as equivalent, where the data show it."""
    executor: Literal["local", "ray"] = "local"
    at_once: int | None = Field(None, ge=1)
    """Runs at once; as many as cores and memory allow where not given."""


class Point(Record):
    """One run of a study."""

    cell: str
    """The values joined, or the study's name where it has no axes."""
    values: dict[str, str]
    """The value of each axis."""
    seed: int
    recipe: Recipe


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> tuple[Study, list[Point]]:
    """Read a study and the runs that it means, in order. Raises UserError naming the file, the value and the key."""
    study = settings_of(Study, read_tables(path, overrides), place=str(path))
    if repeated := [seed for seed in study.seeds if study.seeds.count(seed) > 1]:
        raise UserError(f"{path}: seeds names {repeated[0]} twice")
    if empty := [axis for axis, values in study.axes.items() if not values]:
        raise UserError(f"{path}: axes.{empty[0]} has no values")
    points = list(_points(study, read_tables(Path(path).parent / study.recipe), str(path)))
    cells: dict[str, Point] = {}
    for point in points:
        if cells.setdefault(point.cell, point).values != point.values:
            twice = " and ".join(str(tuple(one.values())) for one in (cells[point.cell].values, point.values))
            raise UserError(f"{path}: {twice} would both be {point.cell!r}; rename a value")
    for contrast in study.contrasts:
        for side in contrast:
            cell, _, solve = side.rpartition("/")
            if cell not in cells or solve not in cells[cell].recipe.solve:
                raise UserError(f"{path}: contrasts names {side!r}; a cell of this study is {next(iter(cells))!r}")
    return study, points


def kind_of(study: Study, axis: str) -> AxisKind:
    """Tell what an axis varies, by what its values set: the student's size, the amount of training data, or else.

    A size may bring its own learning rate, as small students need.
    """
    touched = {key for value in study.axes[axis].values() for key in _paths(value) if key != "seeds"}
    others = touched - {"train.learning_rate"}
    if others and all(key == "train.student" or key.startswith("train.scratch.") for key in others):
        return "size"
    return "amount" if touched and touched <= {"problems.train", "problems.train_limit"} else "category"


def _points(study: Study, base: Mapping[str, Any], path: str) -> Iterator[Point]:
    tables = _merged(base, study.set)
    for chosen in product(*(values.items() for values in study.axes.values())):
        values = dict(zip(study.axes, (name for name, _ in chosen), strict=True))
        cell = "-".join(values.values()) or study.name
        place = f"{path}, {', '.join(f'{axis} = {value}' for axis, value in values.items()) or 'its recipe'}"
        seeds, cell_tables = study.seeds, tables
        for _, value in chosen:
            fewer = value.get("seeds", seeds)
            if not isinstance(fewer, Sequence) or not all(isinstance(seed, int) for seed in fewer):
                raise UserError(f"{place}: seeds must be a list of whole numbers, not {fewer!r}")
            seeds = tuple(seed for seed in seeds if seed in fewer)
            cell_tables = _merged(cell_tables, {key: own for key, own in value.items() if key != "seeds"})
        if not seeds:
            raise UserError(f"{place}: no seed is left")
        for seed in seeds:
            recipe = recipe_of(_merged(cell_tables, {"name": f"{cell}-seed{seed}"}), place=place)
            yield Point(cell=cell, values=values, seed=seed, recipe=_seeded(_chosen(recipe, study, place), seed))


def _chosen(recipe: Recipe, study: Study, place: str) -> Recipe:
    if study.solves is None:
        return recipe
    if missing := [name for name in study.solves if name not in recipe.solve]:
        raise UserError(f"{place}: solves names {missing[0]!r}; the recipe has {', '.join(recipe.solve)}")
    return recipe.model_copy(update={"solve": {name: recipe.solve[name] for name in study.solves}})


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    """Train by this seed, and sample by it; a solve that draws nothing keeps its own, so that equal ones stay one."""
    solves = {
        name: solve.model_copy(update={"seed": seed}) if solve.temperature or solve.retries else solve
        for name, solve in recipe.solve.items()
    }
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed}), "solve": solves})


def _merged(tables: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Put a partial recipe over another, table by table."""
    both = dict(tables)
    for key, value in changed.items():
        known = both.get(key)
        both[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def _paths(tables: Mapping[str, Any], *above: str) -> Iterator[str]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _paths(value, *above, key)
        else:
            yield ".".join((*above, key))
