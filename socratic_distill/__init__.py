"""Distil step-by-step reasoning into small models: a decomposer that asks, a solver that answers, honest statistics.

The names below are the library; each is imported when it is first used, so that nothing heavy comes uncalled.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socratic_distill.engines.driver import drive as drive
    from socratic_distill.engines.scripted import ScriptedEngine as ScriptedEngine
    from socratic_distill.engines.transformers import TransformersEngine as TransformersEngine
    from socratic_distill.errors import UserError as UserError
    from socratic_distill.pipeline import run_recipe as run_recipe
    from socratic_distill.pipeline import run_stages as run_stages
    from socratic_distill.problems import Dataset as Dataset
    from socratic_distill.problems import load_problems as load_problems
    from socratic_distill.problems import register_dataset as register_dataset
    from socratic_distill.reasoning.dialogue import Ask as Ask
    from socratic_distill.reasoning.dialogue import with_calculator as with_calculator
    from socratic_distill.reasoning.strategies import Strategy as Strategy
    from socratic_distill.reasoning.strategies import register_strategy as register_strategy
    from socratic_distill.recipe import Recipe as Recipe
    from socratic_distill.recipe import load_recipe as load_recipe
    from socratic_distill.records import Annotation as Annotation
    from socratic_distill.records import Completion as Completion
    from socratic_distill.records import Problem as Problem
    from socratic_distill.records import Prompt as Prompt
    from socratic_distill.records import Sampling as Sampling
    from socratic_distill.records import Solution as Solution
    from socratic_distill.records import Step as Step
    from socratic_distill.run import Run as Run
    from socratic_distill.students import load_student as load_student

_HOMES = {
    "engines.driver": ("drive",),
    "engines.scripted": ("ScriptedEngine",),
    "engines.transformers": ("TransformersEngine",),
    "errors": ("UserError",),
    "pipeline": ("run_recipe", "run_stages"),
    "problems": ("Dataset", "load_problems", "register_dataset"),
    "reasoning.dialogue": ("Ask", "with_calculator"),
    "reasoning.strategies": ("Strategy", "register_strategy"),
    "recipe": ("Recipe", "load_recipe"),
    "records": ("Annotation", "Completion", "Problem", "Prompt", "Sampling", "Solution", "Step"),
    "run": ("Run",),
    "students": ("load_student",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
