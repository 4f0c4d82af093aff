"""What each student learns: examples of one problem merged into one lesson, equal in loss and fewer tokens."""

from collections.abc import Iterable, Sequence

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import grown, replay
from socratic_distill.reasoning.solving import strategy_of, trained_students
from socratic_distill.reasoning.strategies import STRATEGIES, Facts, Strategy, shown
from socratic_distill.recipe import Recipe
from socratic_distill.records import Annotation, Example, Problem, Record, Split
from socratic_distill.run import Run, by_problem


class Lesson(Record):
    """What one student learns from one problem: pieces, and which of them it is to write itself."""

    problem: str
    pieces: tuple[str, ...]
    learned: tuple[int, ...]
    """Places of the pieces that the loss is on."""


def merge(problem: str, examples: Iterable[Example]) -> list[Lesson]:
    """Merge examples of one student and problem whose prompts grow by whole pieces; others stay apart.

    Under causal attention the merged loss equals the examples' one by one.
    """
    return [Lesson(problem=problem, pieces=pieces, learned=learned) for pieces, learned in grown(examples)]


def lessons_of(
    student: str, strategy: Strategy, problem: Problem, annotation: Annotation, facts: Facts
) -> list[Lesson]:
    """Replay an annotation through a strategy and return what one of its students learns from it."""
    texts = strategy.texts(annotation)
    if texts is None:
        return []
    examples, _ = replay(strategy.dialogue(shown(problem, facts)), texts)
    return merge(problem.id, (example for example in examples if example.student == student))


def trained_strategies(recipe: Recipe) -> list[Strategy]:
    """Return the strategies whose students the recipe trains, without repeats: plain ones in the order of the table."""
    found = [strategy_of(solve) for solve in recipe.solve.values() if trained_students(solve)]
    by_name = {strategy.name: strategy for strategy in found}
    order = [*(name for name in STRATEGIES if name in by_name), *(name for name in by_name if name not in STRATEGIES)]
    return [by_name[name] for name in order]


def usable(annotations: Sequence[Annotation], strategies: Sequence[Strategy], *, rows: str) -> list[Annotation]:
    """Return the annotations that teach: with `shared`, those alone that every strategy can use."""
    if rows == "all":
        return list(annotations)
    return [one for one in annotations if all(strategy.texts(one) is not None for strategy in strategies)]


def lessons_by_student(run: Run) -> dict[str, dict[Split, list[Lesson]]]:
    """Return what each student of a run learns, by split, from the annotations that were kept.

    A student of several strategies is taught by the first that asks it. Raises NotMade where nothing is verified yet,
    UserError where a student would have nothing to learn.
    """
    settings = run.recipe.train
    strategies = trained_strategies(run.recipe)
    wanted = {student for solve in run.recipe.solve.values() for student in trained_students(solve)}
    problems = run.problems("train", "validation")
    annotations = usable(run.kept(), strategies, rows=settings.rows)
    learned: dict[str, dict[Split, list[Lesson]]] = {}
    for strategy in strategies:
        for student in strategy.students:
            if student in wanted and student not in learned:
                learned[student] = lessons_for(student, strategy, problems, annotations, facts=settings.facts)
    if empty := [student for student, lessons in learned.items() if not lessons["train"]]:
        raise UserError(f"no annotation can teach the {empty[0]}: no problem has subquestions that were kept")
    return learned


def lessons_for(
    student: str, strategy: Strategy, problems: Sequence[Problem], annotations: Sequence[Annotation], *, facts: Facts
) -> dict[Split, list[Lesson]]:
    """Return what one student learns, in the order of the problems, by their split."""
    groups = by_problem(annotations)
    lessons: dict[Split, list[Lesson]] = {"train": [], "validation": []}
    for problem in problems:
        for annotation in groups.get(problem.id, ()):
            lessons[problem.split] += lessons_of(student, strategy, problem, annotation, facts)
    return lessons
