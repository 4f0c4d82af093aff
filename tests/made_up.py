"""A made-up run: its summary, its solved problems, and what a browser would see of a page."""

from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np

from socratic_distill.quality import StepQuality, SubquestionQuality
from socratic_distill.reasoning.attribution import Fault
from socratic_distill.reasoning.overlap import Overlap
from socratic_distill.records import Solution, Step, Turn
from socratic_distill.reporting.funnel import Funnel
from socratic_distill.reporting.page import SolvedBy, SolvedProblem
from socratic_distill.reporting.summary import (
    Constant,
    ProblemCounts,
    SolveSummary,
    StepAccuracy,
    StudentSummary,
    Summary,
)
from socratic_distill.statistics import compare_all, wilson

SKILL = {"socratic_iterative": 0.72, "socratic_planned": 0.66, "cot": 0.5, "answer_only": 0.28, "untrained": 0.03}
HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028 \u2029 ]]> & \" '"


OVERLAP = Overlap(
    n=8,
    problems=200,
    exact=1,
    any=23,
    most=3,
    exact_masked=48,
    any_masked=96,
    most_masked=61,
    examples=(("grade_school/test/17", "grade_school/train/402"), ("grade_school/test/9", "grade_school/train/11")),
)
PLACES = (
    StepQuality(step=1, problems=200, asked_on=176, bleu=61.2, answers=200, solved=151, ended=0, stopped=0),
    StepQuality(step=2, problems=160, asked_on=149, bleu=48.0, answers=160, solved=97, ended=40, stopped=36),
    StepQuality(step=3, problems=0, asked_on=0, answers=0, solved=0, ended=160, stopped=151),
)


def faults_in(wrong: int, unreadable: int, *, pair: bool) -> dict[Fault, int]:
    """Share wrong solutions out among the faults."""
    arithmetic = (wrong - unreadable) // 6
    left = wrong - unreadable - arithmetic
    rest: dict[Fault, int] = {"decomposer": left // 2, "solver": left - left // 2} if pair else {"student": left}
    return {"reading": unreadable, "arithmetic": arithmetic, **rest}


def solve_summary(name: str, solved: Sequence[bool], steps: Sequence[int], *, trained: bool = True) -> SolveSummary:
    correct, problems = sum(solved), len(solved)
    bins = []
    for count in sorted(set(steps)):
        there = [right for right, taken in zip(solved, steps, strict=True) if taken == count]
        interval = wilson(sum(there), len(there))
        bins.append(StepAccuracy(steps=count, correct=sum(there), problems=len(there), interval=interval))
    pair = name.startswith(("socratic_iterative", "socratic_planned"))
    quality = SubquestionQuality(problems=problems, asked=2.61, gold=2.8, granularity=0.84, bleu=42.7)
    if name == "socratic_planned":
        quality = quality.model_copy(update={"embedding": 0.913, "encoder": "made-up-encoder"})
    return SolveSummary(
        strategy=name if trained else "cot",
        students=("decomposer", "solver") if pair else (name,),
        calculator=name != "answer_only",
        facts="",
        trained=trained,
        accuracy=correct / problems if problems else 0.0,
        correct=correct,
        problems=problems,
        interval=wilson(correct, problems),
        unreadable=0 if pair else 7,
        unreadable_reasons={} if pair else {"no_answer": 4, "length": 3},
        by_steps=tuple(bins),
        tokens_per_problem=141.2 if pair else 63.8,
        seconds_per_problem=0.47,
        parameters=134_515_008 * (1 + pair),
        parameter_note="two students of 134.5M" if pair else "",
        marks=612,
        marks_changed=31,
        faults=faults_in(problems - correct, min(problems - correct, 0 if pair else 7), pair=pair),
        quality=quality if pair else None,
        by_place=PLACES if name == "socratic_iterative" else (),
    )


def student_summary(seed: int) -> StudentSummary:
    rng = np.random.default_rng(seed)
    losses = 0.25 + 2.2 * np.exp(-np.arange(420) / 45) + 0.06 * rng.random(420)
    return StudentSummary(
        base="smollm2-135m",
        parameters=134_515_008,
        trained_problems=1800,
        target_tokens=98_431,
        epochs=3,
        best_validation_loss=0.291,
        seconds=803.5,
        train_points=tuple((step + 1, float(loss)) for step, loss in enumerate(losses)),
        validation_points=((140, 0.41), (280, 0.31), (420, 0.291)),
    )


def made_up(solved: dict[str, list[bool]], steps: Sequence[int]) -> Summary:
    problems = len(steps)
    return Summary(
        name="quickstart",
        dataset="grade_school (procedural, seed 3)",
        created="2025-01-31",
        version="0.1.0",
        solves={name: solve_summary(name, right, steps, trained=name != "untrained") for name, right in solved.items()},
        constant=Constant(
            answer="12", accuracy=0.045, correct=round(0.045 * problems), problems=problems, interval=(0.024, 0.083)
        ),
        comparisons=tuple(compare_all(solved)),
        students={name: student_summary(index) for index, name in enumerate(("answer_only", "decomposer", "solver"))},
        problems=ProblemCounts(train=1800, validation=200, test=problems),
        funnel=Funnel(
            source="human",
            asked=2000,
            answered=2000,
            readable=2000,
            consistent=1952,
            kept=1940,
            reasons={"answer": 48, "arithmetic": 12},
        ),
        remarks={"rationale_disagrees": 31},
        notes=("A problem of one operation has one step, its question.",),
        overlap=OVERLAP,
    )


def drawn_outcomes(seed: int = 5) -> dict[str, list[bool]]:
    """Draw which of 200 problems each solve has right; what is hard for one is hard for all."""
    rng = np.random.default_rng(seed)
    hardness = rng.random(200)
    noise = rng.normal(0, 0.15, (len(SKILL), 200))
    return {name: (hardness + noise[row] < skill).tolist() for row, (name, skill) in enumerate(SKILL.items())}


def dialogue(index: int, *, right: dict[str, bool], text: str = "") -> SolvedProblem:
    """A problem about loaves, solved by each solve; a hostile text may stand wherever a model writes."""
    loaves, price = 12 + index, 3
    gold = (
        Step(subquestion="How many loaves are sold?", solution=f"All but 2: <<{loaves}-2={loaves - 2}>>{loaves - 2}."),
        Step(subquestion="What do they earn?", solution=f"{loaves - 2} * {price}", answer=str((loaves - 2) * price)),
    )
    by = {}
    for name, correct in right.items():
        answer = str((loaves - 2) * price if correct else loaves * price)
        steps = gold if correct else (Step(subquestion="What is earned?" + text, solution=text or "?", answer=answer),)
        by[name] = SolvedBy(
            correct=correct,
            answer=answer + text if not correct and index % 5 else "" if not correct else answer,
            unreadable="" if correct or index % 5 else "no_answer",
            solution=Solution(text=f"So it is {answer}. {text}", steps=() if name == "answer_only" else steps, marks=1),
            turns=(Turn(student="solver", text=answer + text, finish_reason="end", prompt_tokens=40, tokens=9),),
        )
    return SolvedProblem(
        id=f"loaves/{index}",
        question=f"A baker has {loaves} loaves, keeps 2 and sells the rest at {price} coins. What is earned?{text}",
        answer=str((loaves - 2) * price),
        step_count=2,
        gold_steps=gold,
        by=by,
    )


class Parts(HTMLParser):
    """Collects what a browser would see: tags, ids, links and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
