"""Faults: what recomputing does to a solution, and to whom a wrong one is attributed."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from socratic_distill.problems.gsm8k import load_gsm8k
from socratic_distill.reasoning.arithmetic import equations, marks
from socratic_distill.reasoning.attribution import Fault, companion_of, faults_of, recomputed
from socratic_distill.reasoning.dialogue import replay
from socratic_distill.reasoning.gold import NO_GOLD_STEPS, human_annotation
from socratic_distill.reasoning.strategies import STRATEGIES
from socratic_distill.recipe import Problems, Prompted, Recipe, Solve, Train
from socratic_distill.records import Problem, Solution, SolutionRow, Step
from socratic_distill.stages.evaluate import score

# --- recomputing

RECOMPUTED = {
    "a right text stays": ("2*3=<<2*3=6>>6, 6/4 = 1.5 #### 1.5", "2*3=<<2*3=6>>6, 6/4 = 1.5 #### 1.5"),
    "mark, plain equation and answer": ("11+278=<<11+278=392>>392 #### 392", "11+278=<<11+278=289>>289 #### 289"),
    "on into later equations": (
        "2*3=<<2*3=7>>7. Then 7+1=<<7+1=8>>8, 8*7 = 56 #### 56",
        "2*3=<<2*3=6>>6. Then 6+1=<<6+1=7>>7, 7*6 = 42 #### 42",
    ),
    "on into sentences": (
        "2+2 = 5 pens. So 5 pens, not 50.\nThe answer is 5.",
        "2+2 = 4 pens. So 4 pens, not 50.\nThe answer is 4.",
    ),
    "not back": ("There are 7. 2*3 = 7 #### 7", "There are 7. 2*3 = 6 #### 6"),
    "until a value is stated rightly": ("1+1 = 3 but 2+1 = 3 so 3", "1+1 = 2 but 2+1 = 3 so 3"),
    "roundings stay": ("10/3 = 3.33, 3.33*3 = 9.99 #### 9.99", "10/3 = 3.33, 3.33*3 = 9.99 #### 9.99"),
    "exact where no decimal ends": ("20/3 = 7, 7*3 = 21 #### 21", "20/3 = 20/3, (20/3)*3 = 20 #### 20"),
    "negative values": ("3-8=<<3-8=-6>>-6, 10+-6 = 4 #### 4", "3-8=<<3-8=-5>>-5, 10+-5 = 5 #### 5"),
    "a minus that is an operator": ("5+5 = 16, then 30 -16 = 14", "5+5 = 10, then 30 -10 = 20"),
    "money": ("$105-$28.50 = $76 #### 76", "$105-$28.50 = 76.5 #### 76.5"),
    "commas": ("1,000*2 = 3,000 #### 3,000", "1,000*2 = 2000 #### 2000"),
    "no number at all": ("<<2+3=many>>5", "<<2+3=5>>5"),
    "not calculable": ("<<x+2=5>>5 and <<1/0=7>>7", "<<x+2=5>>5 and <<1/0=7>>7"),
    "times, versions, percentages": ("1+1 = 3, 3:30, v1.3, 3%", "1+1 = 2, 3:30, v1.3, 3%"),
    "a wrong link of a chain": ("2*(3+4) = 2*8 = 16", "2*(3+4) = 2*8 = 16"),
    "a running chain": ("5*3=<<5*3=14>>14+2=<<14+2=16>>16", "5*3=<<5*3=15>>15+2=<<15+2=17>>17"),
    "a mark above the equation around it": ("8*3 = <<80*3=240>>240 #### 240", "8*3 = <<80*3=240>>240 #### 240"),
    "a value copied wrongly": ("80*3 = <<80*3=240>>204 #### 204", "80*3 = <<80*3=240>>240 #### 240"),
    "part of a product in words": ("(1/2) 278 + 11 = 150 #### 150", "(1/2) 278 + 11 = 150 #### 150"),
    "too large to say": (f"{'9*' * 80}9 = 5 #### 5", f"{'9*' * 80}9 = 5 #### 5"),
}


@pytest.mark.parametrize("case", RECOMPUTED)
def test_a_wrong_value_is_replaced_with_all_that_is_built_on_it(case: str) -> None:
    text, after = RECOMPUTED[case]
    assert recomputed(Solution(text=text)) == Solution(text=after)
    assert recomputed(Solution(text=after)) == Solution(text=after)


def test_a_value_is_carried_from_step_to_step_and_into_the_text_of_the_last() -> None:
    def solution(first: int, last: int) -> Solution:
        solved = f"Twice that is {first}*2={last}."
        return Solution(
            text=f"{solved} #### {last}",
            steps=(
                Step(subquestion="How many first?", solution=f"<<3+4={first}>>{first}", answer=str(first)),
                Step(subquestion="How many then?", solution=solved, answer=str(last)),
            ),
        )

    assert recomputed(solution(8, 16)) == solution(7, 14)
    assert recomputed(solution(8, 15)) == solution(7, 14)


def test_the_text_of_one_student_that_wrote_all_steps_is_recomputed_as_a_whole() -> None:
    steps = (Step(subquestion="How many?", solution="3+4 = 8", answer="8"),)
    found = recomputed(Solution(text="The 8 of us? 8.\nHow many? ** 3+4 = 8\n#### 8", steps=steps))
    assert found.text == "The 8 of us? 8.\nHow many? ** 3+4 = 7\n#### 7"
    assert found.steps[0].solution == "3+4 = 7"


@given(st.text(alphabet="<>=0123456789+-*/().,%$x ^:\n#½２a", max_size=80))
def test_no_text_raises_and_steps_stay_as_many(text: str) -> None:
    solution = Solution(text=text, steps=(Step(subquestion=text, solution=text, answer=text),) * 2)
    found = recomputed(solution)
    assert [step.subquestion for step in found.steps] == [text, text]


@given(st.text(alphabet="=0123456789+*-/.,%$ :ax\n<>", max_size=60))
def test_a_text_without_a_wrong_equation_stays_as_it_is(text: str) -> None:
    assume(not any(mark.right is False for mark in (*marks(text), *equations(text))))
    assert recomputed(Solution(text=text)).text == text


_LINKS = st.lists(st.tuples(st.sampled_from("+*"), st.integers(2, 99), st.integers(0, 9)), min_size=1, max_size=6)


@given(st.integers(2, 99), _LINKS, st.booleans())
def test_slips_of_arithmetic_alone_are_all_put_right(
    start: int, links: list[tuple[str, int, int]], marked: bool
) -> None:
    stated = true = start
    said, lines = [start], []
    for operator, operand, slip in links:
        before = stated
        stated = (stated + operand if operator == "+" else stated * operand) + slip
        true = true + operand if operator == "+" else true * operand
        expression = f"{before}{operator}{operand}"
        lines.append(f"It is {expression}={f'<<{expression}={stated}>>' if marked else ''}{stated} pens.")
        said.append(stated)
    # A given number that happens to equal a wrong value would be taken for it.
    assume(not {operand for _, operand, _ in links} & set(said) and start not in said[1:])
    text = "\n".join([*lines, f"#### {stated}"])
    after = recomputed(Solution(text=text)).text
    assert after.endswith(f"#### {true}")
    assert all(mark.right for mark in (*marks(after), *equations(after)))


@pytest.mark.parametrize(
    "piece", ["<<", "<<1+1=3>>", "1+1=3 ", "(", "3 ", "9,", "-", "1+1=3=", "<<3*3=3>>3*3=3 ", "3" * 50]
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = "1+1=3 " + piece * (20_000 // len(piece))  # quadratic time would be minutes
    recomputed(Solution(text=text, steps=(Step(subquestion="", solution=text),)))


@pytest.mark.parametrize("strategy", ["cot", "socratic_iterative"])
def test_every_human_annotation_is_right_after_recomputing_too(shared: Path, strategy: str) -> None:
    way = STRATEGIES[strategy]
    problems = list(load_gsm8k(str(shared / "gsm8k" / "socratic_validation.jsonl"), split="test"))
    for problem in problems:
        texts = way.texts(human_annotation(problem))
        assert texts is not None
        _, solution = replay(way.dialogue(problem), texts)
        assert score(problem, recomputed(solution)).correct, problem.id
    assert len(problems) == 200


@pytest.mark.slow
def test_hardly_any_published_rationale_is_changed_for_the_worse(shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "gsm8k" / "train.jsonl").open(encoding="utf-8")]
    worse = 0
    for row in rows:
        answer = row["answer"].rpartition("####")[2].strip()
        problem = Problem(id="p", split="train", question="?", answer=answer, answer_kind="number")
        worse += not score(problem, recomputed(Solution(text=row["answer"]))).correct
    assert worse <= len(rows) // 200  # their own slips, and `10 / 1/3`


# --- faults

GOLD = (
    Step(subquestion="How many in all?", solution="2*3=<<2*3=6>>6", answer="6"),
    Step(subquestion="How many are left?", solution="6-1=<<6-1=5>>5", answer="5"),
)
STEPS = Problem(id="steps", split="test", question="?", answer="5", answer_kind="number", steps=GOLD)
BARE = Problem(id="bare", split="test", question="?", answer="5", answer_kind="number")

SOLVES = {
    "cot": Solve(strategy="cot"),
    "pair": Solve(strategy="socratic_iterative"),
    "planned": Solve(strategy="socratic_planned"),
    "guided": Solve(strategy="socratic_planned", guidance="steps"),
    "oracle": Solve(strategy="socratic_iterative", oracle="subquestions", engine="transformers", window=8),
    "history": Solve(strategy="socratic_iterative", oracle="history"),
    "calculator": Solve(strategy="socratic_iterative", calculator=True),
    "teacher_asks": Solve(
        strategy="socratic_iterative", prompted=Prompted(model="large", engine="transformers", students=("decomposer",))
    ),
    "teacher_solves": Solve(
        strategy="socratic_iterative", prompted=Prompted(model="large", engine="transformers", students=("solver",))
    ),
    "untrained": Solve(strategy="socratic_iterative", trained=False),
}


def recipe(**solves: Solve) -> Recipe:
    return Recipe(name="own", problems=Problems(dataset="files", train="none", test="none"), solve=solves)


def row(problem: Problem, text: str, unfinished: str = "") -> SolutionRow:
    return SolutionRow(
        key=problem.id, problem=problem.id, solution=Solution(text=text, unfinished=unfinished), turns=(), seconds=0
    )


def faults(solves: dict[str, Solve], texts: dict[str, str], problem: Problem = STEPS) -> dict[str, Fault]:
    """Attribute what each solve wrote for one problem; those that are right are left out."""
    rows = {name: row(problem, text) for name, text in texts.items()}
    scores = {name: [score(problem, one.solution)] for name, one in rows.items()}
    found = faults_of(recipe(**solves), [problem], {name: [one] for name, one in rows.items()}, scores)
    return {name: own[problem.id] for name, own in found.items() if own}


@pytest.mark.parametrize(
    "name",
    ["pair", "planned", "guided", "teacher_asks", "oracle"],
)
def test_solves_with_the_same_solver_have_the_oracle_for_a_companion(name: str) -> None:
    assert companion_of(recipe(**SOLVES), name) == "oracle"


@pytest.mark.parametrize("name", ["cot", "calculator", "teacher_solves", "untrained"])
def test_a_solve_of_another_solver_or_calculator_has_no_companion(name: str) -> None:
    assert companion_of(recipe(**SOLVES), name) is None


def test_facts_are_compared_as_the_students_see_them() -> None:
    solves = {
        "pair": Solve(strategy="socratic_iterative"),
        "without": Solve(strategy="socratic_iterative", oracle="subquestions", facts="none"),
        "oracle": Solve(strategy="socratic_iterative", oracle="subquestions", facts="gold"),
    }
    given = recipe(**solves).model_copy(update={"train": Train(facts="gold")})
    assert companion_of(given, "pair") == "oracle"


def test_of_several_companions_one_that_samples_as_often_is_taken() -> None:
    sampled = {"temperature": 0.7, "samples": 5}
    solves = {
        "pair": Solve(strategy="socratic_planned", temperature=0.7, samples=5),
        "greedy": Solve(strategy="socratic_iterative", oracle="subquestions"),
        "voted": Solve(strategy="socratic_iterative", oracle="subquestions", **sampled),
    }
    assert companion_of(recipe(**solves), "pair") == "voted"
    del solves["voted"]
    assert companion_of(recipe(**solves), "pair") == "greedy"


def test_the_first_fault_that_holds_is_the_one() -> None:
    right = {"oracle": "6-1 #### 5"}
    assert faults(SOLVES, {"pair": "#### 5", **right}) == {}
    assert faults(SOLVES, {"pair": "no idea", "cot": "", **right}) == {"pair": "reading", "cot": "reading"}
    assert faults(SOLVES, {"pair": "6-1 = 4 #### 4", "cot": "<<6-1=4>>4 #### 4", **right}) == {
        "pair": "arithmetic",
        "cot": "arithmetic",
    }
    assert faults(SOLVES, {"pair": "#### 4", "guided": "6-2=4 #### 4", "cot": "#### 4", **right}) == {
        "pair": "decomposer",
        "guided": "decomposer",
        "cot": "student",
    }
    assert faults(SOLVES, {"pair": "#### 4", "oracle": "#### 7"}) == {"pair": "solver", "oracle": "solver"}


def test_without_a_companion_or_gold_steps_a_pairs_fault_is_unknown() -> None:
    assert faults({"pair": SOLVES["pair"]}, {"pair": "#### 4"}) == {"pair": "unknown"}
    assert faults(SOLVES, {"calculator": "#### 4", "cot": "#### 4"}) == {"calculator": "unknown", "cot": "student"}


def test_what_the_companion_could_not_play_leaves_a_pairs_fault_unknown() -> None:
    rows = {"pair": [row(STEPS, "#### 4")], "oracle": [row(STEPS, "", NO_GOLD_STEPS)]}
    scores = {name: [score(STEPS, own.solution)] for name, [own] in rows.items()}
    solves = {name: SOLVES[name] for name in rows}
    assert faults_of(recipe(**solves), [STEPS], rows, scores)["pair"] == {STEPS.id: "unknown"}


def test_an_oracle_that_had_nothing_gold_to_say_is_nobodys_fault() -> None:
    rows = {"oracle": [row(BARE, "", NO_GOLD_STEPS)]}
    scores = {"oracle": [score(BARE, rows["oracle"][0].solution)]}
    assert faults_of(recipe(**SOLVES), [BARE], rows, scores) == {"oracle": {"bare": "unknown"}}


def test_with_gold_history_only_the_solver_can_be_at_fault() -> None:
    assert faults(SOLVES, {"history": "#### 4", "oracle": "#### 5"}) == {"history": "solver"}
