"""The summary of a run of our own: faults, quality, places and overlap, with and without trained students."""

from pathlib import Path

import pytest

from socratic_distill.artifacts import write_manifest, write_rows
from socratic_distill.recipe import Problems, Prompted, Recipe, Solve
from socratic_distill.records import Annotation, Problem, Solution, SolutionRow, Step, Turn, Verdict
from socratic_distill.reporting.summary import SolveSummary, Summary, verdict
from socratic_distill.run import QUIET, Run
from socratic_distill.stages.evaluate import score, summarise

STEPS = (
    Step(subquestion="How many pens in all?", solution="2*3 = 6", answer="6"),
    Step(subquestion="How many pens are left?", solution="6-1 = 5", answer="5"),
)
QUESTION = "Ann has {} boxes of 3 pens and gives one pen away. How many pens are left for her?"
TEST = tuple(
    Problem(
        id=f"t{place}",
        split="test",
        question=QUESTION.format(place),
        answer="5",
        answer_kind="number",
        steps=STEPS,
        step_count=2,
    )
    for place in range(3)
)
LEARNED = Problem(id="l", split="train", question=QUESTION.format(1), answer="5", answer_kind="number", steps=STEPS)
SOLVES = {
    "pair": Solve(strategy="socratic_iterative"),
    "oracle": Solve(strategy="socratic_iterative", oracle="subquestions"),
    "history": Solve(strategy="socratic_iterative", oracle="history"),
    "cot": Solve(strategy="cot"),
    "large": Solve(strategy="cot", prompted=Prompted(model="large-7b", engine="transformers")),
    "half": Solve(
        strategy="socratic_iterative", prompted=Prompted(model="large-7b", engine="transformers", students=("solver",))
    ),
}
TEXTS = {
    "pair": ("#### 5", "6-1 = 4 #### 4", "#### 6"),
    "oracle": ("#### 5", "#### 4", "#### 5"),
    "history": ("#### 5", "#### 4", ""),
    "cot": ("#### 5", "#### 5", "#### 6"),
    "large": ("#### 5", "#### 5", "#### 5"),
    "half": ("#### 4", "#### 5", "#### 5"),
}


def turn(student: str, text: str) -> Turn:
    return Turn(student=student, text=text, finish_reason="end", prompt_tokens=1, tokens=1)


def row(name: str, problem: Problem, text: str) -> SolutionRow:
    """What a solve made of a problem: its pairs ask the first gold subquestion alone."""
    steps = STEPS if name in ("oracle", "history") else STEPS[:1] if name in ("pair", "half") else ()
    turns = [turn("decomposer", STEPS[0].subquestion), turn("decomposer", "[done]"), turn("decomposer", "[done]")]
    return SolutionRow(
        key=problem.id,
        problem=problem.id,
        solution=Solution(text=text, steps=steps),
        turns=tuple(turns) if name == "history" else (),
        seconds=0.5,
    )


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    recipe = Recipe(name="own", problems=Problems(dataset="files", train="none", test="none"), solve=SOLVES)
    run = Run(recipe, tmp_path_factory.mktemp("own"), QUIET)
    write_rows(run.path("problems.jsonl"), [*TEST, LEARNED])
    write_rows(run.path("annotations.jsonl"), [Annotation(problem="l", source="human", steps=STEPS, answer="5")])
    write_rows(run.path("verdicts.jsonl"), [Verdict(problem="l", attempt=0, kept=True)])
    rows = {
        name: [row(name, problem, text) for problem, text in zip(TEST, texts, strict=True)]
        for name, texts in TEXTS.items()
    }
    for name, own in rows.items():
        write_rows(run.path(f"solutions/{name}.jsonl"), own)
    for name in ("problems", "annotations", "verdicts", *(f"solutions/{name}" for name in rows)):
        write_manifest(run.path(f"{name}.jsonl"), settings={}, inputs={}, facts={})
    for name, parameters in {"decomposer": 10, "solver": 20, "cot": 40}.items():
        folder: Path = run.path(f"students/{name}")
        trained = {"targets": 1, "best_loss": None, "seconds": 1.0}
        facts = {"parameters": parameters, "trained": trained, "sequences": {"train": 1}}
        folder.mkdir(parents=True)
        write_manifest(folder, settings={"student": "scratch", "epochs": 1}, inputs={}, facts=facts)
    scores = {
        name: [score(problem, one.solution) for problem, one in zip(TEST, own, strict=True)]
        for name, own in rows.items()
    }
    return summarise(run, TEST, scores)


def test_faults_are_counted_by_solve(summary: Summary) -> None:
    assert {name: solve.faults for name, solve in summary.solves.items()} == {
        "pair": {"arithmetic": 1, "decomposer": 1},
        "oracle": {"solver": 1},
        "history": {"solver": 1, "reading": 1},
        "cot": {"student": 1},
        "large": {},
        "half": {"unknown": 1},
    }


def test_only_solves_that_ask_themselves_have_a_quality(summary: Summary) -> None:
    assert [name for name, solve in summary.solves.items() if solve.quality] == ["pair", "half"]
    quality = summary.solves["pair"].quality
    assert quality is not None
    assert (quality.problems, quality.asked, quality.gold, quality.granularity) == (3, 1, 2, 0)
    assert 0 < quality.bleu < 100 and quality.embedding is None


def test_places_are_those_of_a_solve_with_gold_history(summary: Summary) -> None:
    assert [name for name, solve in summary.solves.items() if solve.by_place] == ["history"]
    places = summary.solves["history"].by_place
    assert [(place.problems, place.asked_on, place.solved) for place in places] == [(3, 3, 3), (3, 0, 3), (0, 0, 0)]
    assert (places[2].ended, places[2].stopped) == (3, 3)


def test_whose_part_was_played_by_others_is_said(summary: Summary) -> None:
    def said(solve: SolveSummary) -> tuple[object, ...]:
        return solve.students, solve.trained, solve.parameters, solve.oracle, solve.prompted

    assert {name: said(solve) for name, solve in summary.solves.items()} == {
        "pair": (("decomposer", "solver"), True, 30, "", ""),
        "oracle": (("solver",), True, 20, "subquestions", ""),
        "history": (("decomposer", "solver"), True, 30, "history", ""),
        "cot": (("cot",), True, 40, "", ""),
        "large": (("cot",), False, 0, "", "large-7b"),
        "half": (("decomposer", "solver"), True, 10, "", "large-7b"),
    }
    assert summary.solves["pair"].parameter_note == "2 students"
    assert summary.solves["half"].parameter_note == "and large-7b"
    assert summary.solves["large"].parameter_note == "those of large-7b are not known"
    assert sorted(summary.students) == ["cot", "decomposer", "solver"]


def test_an_oracle_does_not_compete(summary: Summary) -> None:
    assert "oracle" not in verdict(summary) and "history" not in verdict(summary)
    assert "large" in verdict(summary)


def test_the_audit_stands_in_the_summary(summary: Summary) -> None:
    found = summary.overlap
    assert found is not None
    assert (found.problems, found.exact, found.exact_masked, found.any, found.most) == (3, 1, 3, 3, 3)
    assert found.examples[0] == ("t1", "l")


def test_a_summary_reads_back_and_one_without_these_fields_does_too(summary: Summary) -> None:
    assert Summary.model_validate_json(summary.model_dump_json()) == summary
    new = {"faults", "quality", "by_place", "guidance", "oracle", "prompted"}
    before = summary.model_dump(mode="json", exclude={"overlap": True, "solves": dict.fromkeys(SOLVES, new)})
    found = Summary.model_validate(before)
    assert found.overlap is None and found.solves["pair"].faults == {} and found.solves["pair"].quality is None
