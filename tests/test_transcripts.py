import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.problems.gsm8k import load_gsm8k
from socratic_distill.problems.strategyqa import load_strategyqa
from socratic_distill.problems.svamp import load_svamp
from socratic_distill.reasoning.answers import same_answer
from socratic_distill.reasoning.arithmetic import step_answer
from socratic_distill.reasoning.prompts import format_dialogue, parse_dialogue
from socratic_distill.reasoning.transcripts import REASONS, read_lists, read_transcript
from socratic_distill.records import AnswerKind, Step, Transcript

ASKED = ("How many figs does Ida pick?", "How many figs are left after lunch?")
SOLVED = ("Ida picks 6 * 4 = 24 figs.", "After lunch 24 - 5 = 19 figs are left.")
FIGS = Transcript(
    steps=(
        Step(subquestion=ASKED[0], solution=SOLVED[0], answer="24"),
        Step(subquestion=ASKED[1], solution=SOLVED[1], answer="19"),
    ),
    answer="19",
)
(Q1, Q2), (A1, A2) = ASKED, SOLVED


def socratic(text: str, kind: AnswerKind = "number") -> Transcript:
    return read_transcript(text, style="socratic", kind=kind)


def cot(text: str, kind: AnswerKind = "number", choices: tuple[str, ...] = ()) -> Transcript:
    return read_transcript(text, style="cot", kind=kind, choices=choices)


SHAPES = {
    "pair by pair": f"Q1: {Q1}\nA1: {A1}\nQ2: {Q2}\nA2: {A2}\nFinal answer: 19",
    "all questions first": f"Q1: {Q1}\nQ2: {Q2}\n\nA1: {A1}\nA2: {A2}\n\nFinal answer: 19",
    "answers labelled as questions": f"Q1: {Q1}\nQ2: {Q2}\n\nQ1: {A1}\nQ2: {A2}\n\nFinal answer: 19",
    "one answer labelled as a question": f"Q1: {Q1}\nQ2: {Q2}\nA1: {A1}\nQ2: {A2}\nFinal answer: 19",
    "questions repeated": f"Q1: {Q1}\nQ2: {Q2}\nQ1: {Q1}\nQ2: {Q2}\nA1: {A1}\nA2: {A2}\nFinal answer: 19",
    "headings": f"Questions:\nQ1: {Q1}\nQ2: {Q2}\n\nAnswers:\nA1: {A1}\nA2: {A2}\n\n#### 19",
    "without numbers": f"Question: {Q1}\nAnswer: {A1}\nQuestion: {Q2}\nAnswer: {A2}\nThe answer is 19.",
    "subquestion and solution": (
        f"Sub-question 1: {Q1}\nSolution 1: {A1}\nSubquestion 2: {Q2}\nSolution 2: {A2}\nSo the final answer is 19."
    ),
    "a final label of its own": f"Subquestion: {Q1}\nSolution: {A1}\nSubquestion: {Q2}\nSolution: {A2}\nAnswer: 19",
    "each answer apart": (
        f"Subquestion: {Q1}\nSolution: {A1}\nAnswer: 24\nSubquestion: {Q2}\nSolution: {A2}\nAnswer: 19 figs"
    ),
    "labels in one line": f"Q1: {Q1} A1: {A1} Q2: {Q2} A2: {A2} The answer is 19",
    "labels without answers'": f"Q1: {Q1} {A1}\nQ2: {Q2} {A2}\nThe answer is 19",
    "Markdown": f"Sure!\n\n**Q1:** {Q1}\n- **A1:** {A1}\n\n**Q2:** {Q2}\n- **A2:** {A2}\n\n**Final answer:** 19",
    "Markdown headings": f"### Step 1\n{Q1}\n{A1}\n\n### Step 2\n{Q2}\n{A2}\n\n### Final answer\n19",
    "separated": f"{Q1} ** {A1}\n{Q2} ** {A2}\n#### 19",
    "separated, on several lines": f"{Q1} ** Ida picks\n6 * 4 = 24 figs.\n{Q2} ** {A2}\n#### 19",
    "numbered steps": f"1. {Q1} {A1}\n2. {Q2} {A2}\nTherefore, the answer is 19.",
    "numbered steps on two lines": f"Step 1: {Q1}\n   {A1}\nStep 2: {Q2}\n   {A2}\n\\boxed{{19}}",
    "numbered labels": f"1. Question: {Q1}\n   Solution: {A1}\n2. Question: {Q2}\n   Solution: {A2}\nThe answer is 19",
    "two numbered lists": f"Questions:\n1. {Q1}\n2. {Q2}\nAnswers:\n1. {A1}\n2. {A2}\nThe answer is 19",
    "run together": f"{Q1} {A1} {Q2} {A2} The answer is 19",
    "run together without spaces": f"{Q1}{A1}{Q2} {A2}The answer is 19.",
    "run together on lines": f"{Q1}\n{A1}\n{Q2}\n{A2}\nThe answer is 19",
    "thought over": f"<think>Is it 20? No.</think>\n{Q1} {A1} {Q2} {A2} The answer is 19",
    "tagged": f"<Solution Path>{Q1} {A1} {Q2} {A2} The answer is 19",
    "JSON": json.dumps([{"subquestion": Q1, "solution": A1}, {"subquestion": Q2, "solution": A2}]),
    "JSON in a fence": "Here:\n```json\n"
    + json.dumps(
        {"steps": [{"question": Q1, "answer": A1}, {"question": Q2, "answer": A2}], "final_answer": 19}, indent=1
    )
    + "\n```\nI hope that it helps?",
    "JSON with answers": json.dumps(
        [
            {"Sub-question": Q1, "Solution": A1, "Answer": "24"},
            {"Sub-question": Q2, "Solution": A2, "Answer": "19 figs"},
        ]
    ),
    "JSON pairs": json.dumps([[Q1, A1], [Q2, A2]]) + "\nThe answer is 19",
    "JSON lists": json.dumps({"questions": [Q1, Q2], "answers": [A1, A2], "answer": 19}),
    "JSON labels": json.dumps({"Q1": Q1, "A1": A1, "Q2": Q2, "A2": A2, "Final answer": "19"}),
    "JSON that ends in an answer": json.dumps([{"q": Q1, "a": A1}, {"q": Q2, "a": A2}, {"final_answer": "19"}]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_steps_are_read_from_every_shape(shape: str) -> None:
    assert socratic(SHAPES[shape]) == FIGS


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        ([f"Q1: {Q1}\nQ2: {Q2}"], [f"A1: {A1}\nA2: {A2}\n\nFinal answer: 19"]),
        ([f"Q1: {Q1}\nQ2: {Q2}"], [f"Q1: {A1}\nQ2: {A2}\n\nFinal answer: 19"]),
        ([f"Q1: {Q1}", f"Q2: {Q2}"], [f"A1: {A1}", f"A2: {A2}", "Final answer: 19"]),
        ([Q1, Q2], [A1, f"{A2} The answer is 19"]),
        ([Q1, Q2], [A1, A2, "#### 19"]),
        ([f"1. {Q1}\n2. {Q2}"], [f"1. {A1}\n2. {A2}\nThe answer is 19"]),
    ],
)
def test_questions_and_answers_kept_apart_are_paired(questions: list[str], answers: list[str]) -> None:
    assert read_lists(questions, answers, kind="number") == FIGS


def test_a_last_answer_that_is_nothing_but_the_final_statement_stays_its_solution() -> None:
    assert socratic(f"{Q1} {A1} {Q2} The answer is 19").steps[-1].solution == "The answer is 19"
    assert read_lists([Q1, Q2], [A1, "The answer is 19."], kind="number").steps[-1].solution == "The answer is 19."
    assert socratic(f"{Q1} ** {A1}\n{Q2} **\n#### 19").steps[-1] == Step(subquestion=Q2, solution="", answer="19")


def test_a_final_statement_is_left_out_of_the_last_solution() -> None:
    text = f"{Q1} {A1} {Q2} The answer is 24 - 5 = 19. Thus, the answer is 19."
    assert socratic(text).steps[-1].solution == "The answer is 24 - 5 = 19."


@pytest.mark.parametrize(
    ("text", "subquestions"),
    [
        ("How far did Mr. Ek walk? He walked 3 km. How far is it, i.e. there and back? It is 6 km.", 2),
        ("How much is a pen? A pen is $1.50. If he has 2 pens, how much is that? 2 * 1.50 = 3", 2),
        ("What is x? x = 4 How many is that doubled? 2 * 4 = 8", 2),
        ('What did she shout? She shouted "how many?" at him 3 times. How many words is that? 2 * 3 = 6', 2),
        ("How many are red (or pink?) in all? There are 4. How many are blue? 2 are.", 2),
        ("How many does Dr. Who own? He owns 2 of them. How many are left? None of the 2.", 2),
        ("How much is the cube of 2? 2 ** 3 = 8 figs. How many is half of that? 8 / 2 = 4", 2),
        ("How many oz. of tea are left? There are 3 oz. in it. How many cups? 3 cups.", 2),
    ],
)
def test_a_question_begins_where_its_sentence_does(text: str, subquestions: int) -> None:
    steps = socratic(f"{text} The answer is 2").steps
    assert len(steps) == subquestions
    assert f"{text} " == "".join(f"{step.subquestion} {step.solution} " for step in steps)


def test_what_precedes_the_first_question_opens_its_solution_if_it_holds_a_number() -> None:
    (step,) = socratic("Let her have x + 3 figs. How many are left of 9? 9 - 3 = 6 - x. The answer is 6").steps
    assert step.solution == "Let her have x + 3 figs. 9 - 3 = 6 - x."
    (step,) = socratic("Let us think. How many are left of 9? 9 - 3 = 6. The answer is 6").steps
    assert step.solution == "9 - 3 = 6."


UNREADABLE = {
    "empty": ["", " \n\t", "<think>Are there 3?"],
    "no_answer": [f"Q1: {Q1}\nA1: {A1}", f"The answer is 4. {Q1} {A1}", f"{Q1} {A1} The answer is not 24."],
    "no_questions": ["24 - 5 = 19. The answer is 19", "1. Add 3.\n2. Add 4.\nThe answer is 7", '["a", "b"]'],
    "unanswered_question": [
        f"{Q1} {Q2} 19 are left. The answer is 19",
        "How do we solve it? To solve it: What is x? x = 4. The answer is 4",
        f"Q1: {Q1}\nA1:\nQ2: {Q2}\nA2: {A2}\nThe answer is 19",
        json.dumps([{"subquestion": Q1, "solution": ""}, {"subquestion": Q2, "solution": A2}]),
    ],
    "count_mismatch": [
        f"Q1: {Q1}\nQ2: {Q2}\nA1: {A1}\nFinal answer: 24",
        f"Q1: {Q1}\nA1: {A1}\nA2: {A2}\nFinal answer: 19",
        f"1. {Q1} {A1} {Q2} {A2}\n2. {Q2} {A2}\nThe answer is 19",
    ],
    "label_order": [
        f"Q1: {Q1}\nA1: {A1}\nQ3: {Q2}\nA3: {A2}\nFinal answer: 19",
        f"Q1: {Q1}\nQ2: {Q2}\nA2: {A2}\nA1: {A1}\nFinal answer: 19",
        f"1. {Q1} {A1}\n3. {Q2} {A2}\nThe answer is 19",
    ],
    "unclear_question": ["What is 5 x 3? Now 5 x 3 = ? It gives 15. The answer is 15", f"Q1:\nA1: {A1}\n#### 24"],
    "reserved_text": [f"Q1: How many ** figs?\nA1: {A1}\n#### 24", f"Q1: {Q1}\nA1: #### 5 then 6\n#### 24"],
    "broken_json": ['[{"subquestion": "How many?", "solution": "Th', '{"name": null}', "[[" * 100_000],
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_what_is_not_read_has_its_reason(reason: str) -> None:
    for text in UNREADABLE[reason]:
        assert socratic(text) == Transcript(unreadable=reason), text


def test_every_reason_is_told_and_met() -> None:
    assert cot("The answer is 5") == Transcript(unreadable="no_rationale")
    assert cot("5 apples") == Transcript(unreadable="no_answer")
    assert {*UNREADABLE, "no_rationale"} == set(REASONS)
    assert read_lists([f"Q1: {Q1}\nQ2: {Q2}"], [f"A1: {A1}\nFinal answer: 24"], kind="number").unreadable == (
        "count_mismatch"
    )
    assert read_lists([], [], kind="number").unreadable == "no_questions"


def test_a_stated_answer_of_another_kind_is_empty_and_the_steps_stay() -> None:
    for stated in ("the green ones", "x + 8", "220, 90, 60", "(5 + 3) / 2"):
        transcript = socratic(f"Q1: {Q1}\nA1: {A1}\n\nFinal answer: {stated}")
        assert (transcript.answer, transcript.unreadable, len(transcript.steps)) == ("", "", 1)
    assert cot("Goats can't read. The answer is hard to say.", "boolean").answer == ""


def test_steps_of_other_kinds_have_no_answers_but_the_last() -> None:
    text = "Can goats swim? Goats swim 2 km. Could one cross a pond? Ponds are small. The answer is true"
    assert [step.answer for step in socratic(text, "boolean").steps] == ["", "yes"]


@pytest.mark.parametrize(
    ("text", "rationale", "answer"),
    [
        ("3 * 4 = 12. The answer is 12", "3 * 4 = 12.", "12"),
        ("3 * 4 = 12. Therefore, the answer is $1,200.50.", "3 * 4 = 12.", "1200.5"),
        ("<Solution Path> 3 * 4 = 12.\n\n The answer is 12.", "3 * 4 = 12.", "12"),
        (
            "First:\n- 3 * 4 = 12\n\n**Final Answer:** The final answer is $\\boxed{12}$. I hope so.",
            "First:\n3 * 4 = 12",
            "12",
        ),
        ("3 * 4 = <<3*4=12>>12\n#### 12", "3 * 4 = <<3*4=12>>12", "12"),
        ("It is 3 * 4 = $\\boxed{12\\text{ figs}}$.", "It is 3 * 4 = 12 figs", "12"),
        ("<think>Maybe 9.</think>3 * 4 = 12 <answer>12</answer>", "3 * 4 = 12", "12"),
        ("Rationale: 3 * 4 = 12.\nAnswer: 12 figs", "3 * 4 = 12.", "12"),
        ("The answer is 9. No, 3 * 4 = 12. The answer is 12. Bye!", "The answer is 9. No, 3 * 4 = 12.", "12"),
        ("It is 13, so the answer is 13.", "It is 13", "13"),
        ("Rounded up, the answer is 13.", "Rounded up, the answer is 13.", "13"),
        ("3 * 4 = 12. The answer is 12\n\nQuestion: What is 5 + 5?\nThe answer is 10", "3 * 4 = 12.", "12"),
        ('{"rationale": "3 * 4 = 12.", "answer": 12}', "3 * 4 = 12.", "12"),
        ('["3 * 4 = 12.", "12 - 2 = 10. The answer is 10"]', "3 * 4 = 12.\n12 - 2 = 10.", "10"),
    ],
)
def test_a_rationale_loses_its_final_statement_alone(text: str, rationale: str, answer: str) -> None:
    assert cot(text) == Transcript(rationale=rationale, answer=answer)


def test_answers_of_every_kind_are_read() -> None:
    assert cot("Goats have no hands. Thus, the answer is False", "boolean").answer == "no"
    assert cot("Red is warm. The answer is (B) red.", "choice", ("blue", "red")).answer == "B"
    assert cot("It lies in Peru. The answer is Machu Picchu.", "text").answer == "Machu Picchu"
    assert socratic('[{"question": "Is it so?", "answer": "No, it is not."}]', "boolean").answer == "no"


PIECES = [
    *("Q1: ", "A1:", "Q2:", "\nQ: ", "\n1. ", "Step 2: ", " ** ", "**", "####", "\n", "?", ". ", " ", "5", "x ", "= 7"),
    *("The answer is ", "Final answer: ", "\\boxed{", "}", "<think>", "</think>", "```json\n", '[{"', '":', "[", "{"),
    *("How many ", "What ", "Mr.", "[done]", "\ud800", "\u2028", "<answer>", "answer: ", "Solution:", '"q": "a"', "-"),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
KINDS: tuple[AnswerKind, ...] = ("number", "boolean", "choice", "text")


@given(TEXTS, st.sampled_from(["cot", "socratic"]), st.sampled_from(KINDS))
def test_no_text_raises_and_what_is_read_can_be_written(text: str, style: Any, kind: AnswerKind) -> None:
    transcript = read_transcript(text, style=style, kind=kind, choices=("red", "blue") if kind == "choice" else ())
    assert Transcript.model_validate_json(transcript.model_dump_json()) == transcript
    if transcript.unreadable:
        assert transcript == Transcript(unreadable=transcript.unreadable) and transcript.unreadable in REASONS
    elif style == "cot":
        assert transcript.rationale and not transcript.steps
    else:
        written = tuple((step.subquestion, step.solution) for step in transcript.steps)
        assert written and parse_dialogue(format_dialogue(transcript.steps, transcript.answer)) == written


@given(st.lists(st.text(), max_size=3), st.lists(TEXTS, max_size=3))
def test_no_lists_raise(questions: list[str], answers: list[str]) -> None:
    assert read_lists(questions, answers, kind="number").unreadable in {"", *REASONS}


SENTENCES = st.text("abcXYZ 0123456789,.=+-()?$'/%", min_size=1).map(lambda text: " ".join(f"So {text}".split()))
DIALOGUES = st.lists(st.tuples(SENTENCES.map(lambda text: f"{text}?"), SENTENCES), min_size=1, max_size=6)


@given(DIALOGUES, st.integers(-(10**6), 10**6), st.booleans())
def test_a_formatted_dialogue_reads_back(pairs: list[tuple[str, str]], gold: int, bare: bool) -> None:
    steps = [Step(subquestion=one, solution=solution, answer=step_answer(solution)) for one, solution in pairs]
    steps[-1] = steps[-1].model_copy(update={"answer": str(gold)} | ({"solution": ""} if bare else {}))
    text = format_dialogue(tuple(steps), str(gold))
    assert socratic(text) == Transcript(steps=tuple(steps), answer=str(gold))


@pytest.mark.parametrize(
    "piece",
    [
        *PIECES,
        "Q1: a?\nA1: b\n",
        "How? It is 5. ",
        "a b",
        "**a",
        "the ",
        "the final answer ",
        "1.",
        "Q",
        "<a",
        '[["',
        "?)",
        "é",
    ],
)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    begun = time.process_time()
    for hostile in (text, f"How many? {text} The answer is 5", f"{text}\n#### 5"):
        socratic(hostile)
        cot(hostile)
    assert time.process_time() - begun < 6  # a fifth of a second; minutes if it were quadratic


# --- published rows


def gold_of(shared: Path, *sources: Any) -> dict[str, str]:
    return {" ".join(problem.question.split()): problem.answer for source in sources for problem in source}


def counted(transcripts: list[Transcript]) -> Counter[str]:
    return Counter(transcript.unreadable or "read" for transcript in transcripts)


def json_rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = (
        json.loads(text) if path.suffix == ".json" else list(map(json.loads, text.strip().split("\n")))
    )
    return rows


def test_chatgpt_gsm8k_rows_with_as_many_answers_as_questions_become_steps(shared: Path) -> None:
    rows = json_rows(shared / "gsm8k/chatgpt_subquestions_train.jsonl")
    transcripts = [read_lists(row["questions"], row["answers"], kind="number") for row in rows]
    assert counted(transcripts) == {"read": 789, "count_mismatch": 11}
    pairs = zip(rows, transcripts, strict=True)
    assert all(len(one.steps) == row["questions"][0].count("\n") + 1 for row, one in pairs if one.steps)
    texts = ["\n".join([*row["questions"], *row["answers"]]) for row in rows]
    assert [socratic(text) for text in texts] == transcripts
    golds = [row["answer"].removeprefix("####") for row in rows]
    kept = sum(same_answer(one.answer, gold, kind="number") for one, gold in zip(transcripts, golds, strict=True))
    assert kept == 548


def test_chatgpt_svamp_rows_become_steps(shared: Path) -> None:
    rows = json_rows(shared / "svamp/chatgpt_subquestions_train.json")
    golds = gold_of(shared, load_svamp(str(shared / "svamp/train.json"), split="train"))
    transcripts = [socratic(row["output"]) for row in rows]
    assert counted(transcripts) == {"read": 684, "no_questions": 6, "unanswered_question": 9}
    assert all(step.subquestion.endswith("?") and step.solution for one in transcripts for step in one.steps)
    asked = [row["output"].count("?") for row in rows]
    assert all(len(one.steps) in (0, count) for one, count in zip(transcripts, asked, strict=True))
    gold = [golds[" ".join(row["instruction"].split())] for row in rows]
    kept = sum(same_answer(one.answer, answer, kind="number") for one, answer in zip(transcripts, gold, strict=True))
    assert kept == 668


@pytest.mark.parametrize(
    ("name", "kind", "expected", "kept"),
    [
        ("gsm8k/llama3_70b_rationales_train.jsonl", "number", {"read": 7435, "no_answer": 7}, 7422),
        (
            "strategyqa/chatgpt_rationales_train.json",
            "boolean",
            {"read": 1792, "no_answer": 1, "no_rationale": 7},
            1723,
        ),
    ],
)
def test_published_rationales_are_read(
    shared: Path, name: str, kind: AnswerKind, expected: dict[str, int], kept: int
) -> None:
    rows = json_rows(shared / name)
    transcripts = [cot(row["output"], kind) for row in rows]
    assert counted(transcripts) == expected
    gsm8k = load_gsm8k(str(shared / "gsm8k/train.jsonl"), split="train")
    golds = gold_of(shared, gsm8k, load_strategyqa(str(shared / "strategyqa/train.json"), split="train"))
    gold = [golds.get(" ".join(row["instruction"].split()), "") for row in rows]
    found = [same_answer(one.answer, answer, kind=kind) for one, answer in zip(transcripts, gold, strict=True)]
    assert sum(found) == kept


@pytest.mark.parametrize("name", ["socratic_train", "socratic_validation"])
def test_human_socratic_texts_are_read_as_their_loader_reads_them(shared: Path, name: str) -> None:
    path = shared / f"gsm8k/{name}.jsonl"
    written = [Transcript(steps=one.steps, answer=one.answer) for one in load_gsm8k(str(path), split="train")]
    assert [socratic(row["answer"]) for row in json_rows(path)] == written
