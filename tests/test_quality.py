"""The quality of subquestions: what is counted, that scores order good before bad, and each place by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import solved

from socratic_distill.errors import UserError
from socratic_distill.quality import (
    Likeness,
    StepQuality,
    bert_likeness,
    bleu,
    granularity,
    step_qualities,
    subquestion_quality,
)
from socratic_distill.reasoning.gold import gold_texts
from socratic_distill.reasoning.solving import dialogue_of, strategy_of
from socratic_distill.recipe import Solve
from socratic_distill.records import Problem, Prompt, Solution, SolutionRow, Step

GOLD = (
    Step(subquestion="How many crates does Nora fill?", solution="84/12 = 7", answer="7"),
    Step(subquestion="How much do the crates sell for?", solution="7*15 = 105", answer="105"),
    Step(subquestion="How much is left after the van is paid?", solution="105-28.5 = 76.5", answer="76.5"),
)


def problem(name: str, *steps: Step, answer: str = "76.5") -> Problem:
    return Problem(
        id=name,
        split="test",
        question=f"Of {name}: how much is left?",
        answer=answer,
        answer_kind="number",
        steps=steps,
        step_count=len(steps),
    )


def row(name: str, *subquestions: str) -> SolutionRow:
    steps = tuple(Step(subquestion=text, solution="") for text in subquestions)
    return SolutionRow(key=name, problem=name, solution=Solution(text="", steps=steps), turns=(), seconds=0)


# --- against gold


def test_gold_subquestions_are_perfect() -> None:
    asked = [step.subquestion for step in GOLD]
    found = subquestion_quality([problem("a", *GOLD)], [row("a", *asked)])
    assert found is not None
    assert (found.problems, found.asked, found.gold, found.granularity) == (1, 3, 3, 1)
    assert found.bleu == pytest.approx(100)
    assert (found.embedding, found.encoder) == (None, "")


def test_numbers_are_means_over_the_problems_with_gold_steps_that_were_solved() -> None:
    problems = [problem("a", *GOLD), problem("b", *GOLD[:1]), problem("bare"), problem("unsolved", *GOLD)]
    found = subquestion_quality(problems, [row("a", "x"), row("b", "x", "y"), row("bare", *"xyz")])
    assert found is not None
    assert (found.problems, found.asked, found.gold) == (2, 1.5, 2)
    assert found.granularity == pytest.approx((1 - 2 / 1 + 1 - 1 / 2) / 2)


def test_without_gold_steps_there_is_no_quality() -> None:
    assert subquestion_quality([problem("bare")], [row("bare", "x")]) is None
    assert subquestion_quality([problem("a", *GOLD)], []) is None


@pytest.mark.parametrize(("asked", "gold", "value"), [(3, 3, 1), (6, 3, 0.5), (2, 3, 0.5), (1, 3, -1), (0, 3, 0)])
def test_granularity_compares_numbers(asked: int, gold: int, value: float) -> None:
    assert granularity(asked, gold) == value


def test_subquestions_left_out_or_too_many_lower_bleu() -> None:
    gold = [problem("a", *GOLD)]
    asked = [step.subquestion for step in GOLD]

    def of(*subquestions: str) -> float:
        found = subquestion_quality(gold, [row("a", *subquestions)])
        assert found is not None
        return found.bleu

    assert 100 > of(*asked[:2]) > of(*asked[:1]) > of()
    assert 100 > of(*asked, "And what does the van weigh?") > 0
    assert of() == 0


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_bleu_takes_any_text(texts: list[str]) -> None:
    assert 0 <= bleu(texts, texts[::-1]) <= 100.001


# --- each place by itself

NORA, BASKET = problem("nora", *GOLD), problem("basket", *GOLD[:1], answer="7")


def tried(solve: Solve, problems: list[Problem], **scripts: Callable[[Prompt], str]) -> list[SolutionRow]:
    """Let scripted students, who see their prompts, play behind the gold history."""
    rows = []
    for one in problems:
        called = {name: lambda prompt, _, script=script: script(prompt) for name, script in scripts.items()}
        finished, _ = solved(dialogue_of(one, strategy_of(solve), solve, "none"), called)
        rows.append(SolutionRow(key=one.id, problem=one.id, solution=finished.result, turns=finished.turns, seconds=0))
    return rows


def gold_replies(solve: Solve, one: Problem, student: str) -> Callable[[Prompt], str]:
    """Answer as gold does, told apart by how much a prompt has before."""
    strategy = strategy_of(solve)
    texts = gold_texts(one, strategy)
    assert texts is not None
    replies = iter(texts[student])
    return lambda _: next(replies)


HISTORY = Solve(strategy="socratic_iterative", oracle="history")
PLANNED = Solve(strategy="socratic_planned", oracle="history")


@pytest.mark.parametrize(
    "solve",
    [
        HISTORY,
        PLANNED,
        HISTORY.model_copy(update={"guidance": "steps"}),
        PLANNED.model_copy(update={"guidance": "steps"}),
        HISTORY.model_copy(update={"calculator": True}),
    ],
)
def test_gold_replies_are_right_at_every_place(solve: Solve) -> None:
    scripts = {name: gold_replies(solve, NORA, name) for name in strategy_of(solve).students}
    places = step_qualities([NORA], tried(solve, [NORA], **scripts), guided=solve.guidance is not None)
    assert [place.step for place in places] == [1, 2, 3, 4]
    for place in places[:3]:
        assert (place.problems, place.asked_on, place.answers, place.solved) == (1, 1, 1, 1)
        assert place.bleu == pytest.approx(100)
        assert (place.ended, place.stopped) == (0, 0)
    assert places[3] == StepQuality(step=4, problems=0, asked_on=0, solved=0, ended=1, stopped=1)


def test_who_stops_early_or_late_is_counted_at_the_place() -> None:
    def decomposer(prompt: Prompt) -> str:
        return "[done]" if len(prompt.pieces) == 3 else "How much do the crates sell for?"

    def solver(prompt: Prompt) -> str:
        return "so #### 7"

    places = step_qualities([NORA, BASKET], tried(HISTORY, [NORA, BASKET], decomposer=decomposer, solver=solver))
    assert [(place.problems, place.asked_on, place.solved) for place in places] == [
        (2, 2, 2),
        (1, 0, 0),
        (1, 1, 0),
        (0, 0, 0),
    ]
    assert [(place.ended, place.stopped) for place in places] == [(0, 0), (1, 1), (0, 0), (1, 0)]
    assert places[1].bleu is None and places[0].bleu is not None and places[0].bleu < 100


def test_a_plan_is_judged_by_what_it_asks_at_each_place() -> None:
    plan = "How many crates does Nora fill?\nHow much do the crates sell for?"
    rows = tried(PLANNED, [NORA, BASKET], planner=lambda _: plan, solver=lambda _: "#### 7")
    places = step_qualities([NORA, BASKET], rows)
    assert [place.asked_on for place in places] == [2, 1, 0, 0]
    assert places[0].bleu == places[1].bleu == pytest.approx(100)
    assert [(place.ended, place.stopped) for place in places] == [(0, 0), (1, 0), (0, 0), (1, 1)]


def test_one_student_has_no_places() -> None:
    solve = Solve(strategy="cot", oracle="history")
    nora = NORA.model_copy(update={"rationale": "84/12 = 7"})
    places = step_qualities([nora], tried(solve, [nora], cot=lambda _: "#### 5"))
    assert {(place.asked_on, place.solved, place.stopped, place.bleu) for place in places} == {(None,) * 4}


def test_a_step_without_a_gold_answer_is_not_to_be_solved() -> None:
    silent = problem("silent", Step(subquestion="Who?", solution="Nora."), GOLD[2])
    scripts = {name: gold_replies(HISTORY, silent, name) for name in ("decomposer", "solver")}
    places = step_qualities([silent], tried(HISTORY, [silent], **scripts))
    assert [(place.answers, place.solved) for place in places] == [(0, 0), (1, 1), (0, 0)]


def test_where_nothing_was_tried_there_are_no_places() -> None:
    assert step_qualities([problem("bare")], [row("bare")]) == ()


# --- an embedding score


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained encoder that marks where texts begin and end."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz?"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path_factory.mktemp("encoder")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def likeness(encoder: Path) -> Likeness:
    return bert_likeness(str(encoder))


def test_likeness_is_one_for_the_same_text_and_less_for_others(likeness: Likeness) -> None:
    gold = ["a b c d e ?", "x y z ?", "q"]
    assert likeness(gold, gold) == pytest.approx(1)
    assert likeness(gold[:1], ["v w x y z ?"]) < likeness(gold[:1], ["a b c x e ?"]) < 1


def test_likeness_is_of_each_text_with_its_own_partner(likeness: Likeness) -> None:
    written, gold = ["a", "b c d e f g", "h i"], ["b c d", "h i j k l m n", "a o"]
    alone = [likeness([one], [other]) for one, other in zip(written, gold, strict=True)]
    assert likeness(written, gold) == pytest.approx(sum(alone) / 3)


def test_an_empty_text_is_like_nothing_and_a_long_one_is_cut(likeness: Likeness) -> None:
    assert likeness([""], ["a b c"]) == 0
    assert likeness(["a " * 100], ["a " * 100]) == pytest.approx(1)


def test_the_encoder_is_named_with_its_score(likeness: Likeness) -> None:
    asked = [step.subquestion for step in GOLD]
    found = subquestion_quality([problem("a", *GOLD)], [row("a", *asked)], likeness=likeness, encoder="tiny")
    assert found is not None and (found.embedding, found.encoder) == (pytest.approx(1), "tiny")


def test_an_encoder_that_is_not_there_is_a_mistake_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't load evaluate.encoder = .*none"):
        bert_likeness(str(tmp_path / "none"))


def test_a_model_that_marks_no_beginning_of_texts_is_refused(
    tmp_path: Path, tiny_student: Callable[[str], object]
) -> None:
    student = tiny_student("gpt2")
    student.model.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    student.encoder.tokenizer.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="marks no beginning and end of texts; name one of the BERT kind"):
        bert_likeness(str(tmp_path))
