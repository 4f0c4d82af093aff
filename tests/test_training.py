"""Training: what is learned does not depend on how it is cut up, nor on being stopped."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import Quiet, learn, made_up, make_model
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from socratic_distill.reasoning.dialogue import replay
from socratic_distill.reasoning.strategies import STRATEGIES, shown
from socratic_distill.records import Annotation, Problem, Step
from socratic_distill.students import Encoder
from socratic_distill.training.attention import BLOCK, causal_blocks
from socratic_distill.training.lessons import Lesson, lessons_of
from socratic_distill.training.loss import Loss, fast_loss, loss_of, plain_loss
from socratic_distill.training.optimizer import learning_rate_at
from socratic_distill.training.sequences import TokenSequence, encode_lesson, micro_batches, plan_epoch

EQUAL = 1e-9
"""Relative difference that float64 explains."""
PROBLEM = Problem(
    id="own/0",
    split="train",
    question="Ann picks 4 bags of 6 plums and gives half of them away. At $3 a plum, what are the rest worth?",
    answer="36",
    answer_kind="number",
)
ANNOTATION = Annotation(
    problem="own/0",
    source="human",
    rationale="4 bags of 6 are <<4*6=24>>24 plums.\nHalf of 24 is <<24/2=12>>12.\nSo <<12*3=36>>36 dollars.",
    steps=(
        Step(subquestion="How many plums does she pick?", solution="4 bags of 6 are <<4*6=24>>24 plums.", answer="24"),
        Step(subquestion="How many are left?", solution="Half of 24 is <<24/2=12>>12.", answer="12"),
        Step(subquestion="What are they worth?", solution="They are worth <<12*3=36>>36 dollars.", answer="36"),
    ),
    answer="36",
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: small products gain nothing from more, and wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gradient(model: PreTrainedModel, loss: Callable[[], Tensor | float]) -> tuple[float, Tensor]:
    """Return a loss and the gradient of all weights as one vector; a loss that is a number went backward itself."""
    model.zero_grad()
    found = loss()
    if isinstance(found, Tensor):
        found.backward()
        found = float(found.detach())
    grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in model.parameters()]
    return found, torch.cat([grad.flatten() for grad in grads])


def assert_equal(one: tuple[float, Tensor], other: tuple[float, Tensor]) -> None:
    assert abs(one[0] - other[0]) <= EQUAL * abs(other[0])
    assert float(other[1].norm()) > 1e-3
    assert float((one[1] - other[1]).norm() / other[1].norm()) <= EQUAL


KINDS = [
    ("gpt2", "gpt2", {}),
    ("llama", "byte_level", {"tie_word_embeddings": True}),
    ("llama", "sentencepiece", {}),
]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=lambda strategy: strategy.name)
@pytest.mark.parametrize(
    ("kind", "tokenizer", "changed"), KINDS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_one_merged_sequence_equals_its_examples_one_by_one(
    tiny_tokenizer: Callable[[str], PreTrainedTokenizerBase],
    kind: str,
    tokenizer: str,
    changed: dict[str, Any],
    strategy: Any,
) -> None:
    encoder = Encoder(tiny_tokenizer(tokenizer))
    examples, _ = replay(strategy.dialogue(shown(PROBLEM, "none")), strategy.texts(ANNOTATION))
    model = make_model(kind, vocabulary=len(encoder.tokenizer), max_position_embeddings=1024, **changed)
    for student in strategy.students:
        (lesson,) = lessons_of(student, strategy, PROBLEM, ANNOTATION, "none")
        merged = encode_lesson(lesson, encoder)
        apart = [
            TokenSequence(
                encoder.encode(example.prompt) + encoder.piece(example.completion),
                list(
                    range(start := len(encoder.encode(example.prompt)), start + len(encoder.piece(example.completion)))
                ),
            )
            for example in examples
            if example.student == student
        ]
        assert len(apart) == len(lesson.learned)
        assert sum(len(one.targets) for one in apart) == len(merged.targets)
        loss, fast = loss_of(model, merged)
        assert fast
        one_by_one = gradient(model, lambda: torch.stack([loss([one]) for one in apart]).sum())  # noqa: B023  # called at once
        assert_equal(gradient(model, lambda: loss([merged])), one_by_one)  # noqa: B023  # called at once


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_eight_accumulated_equal_one_of_eight(kind: str) -> None:
    model, lessons = make_model(kind), made_up([17, 5, 40, 23, 8, 31, 12, 29])
    loss, _ = loss_of(model, lessons[2])
    lengths = [len(lesson.ids) for lesson in lessons]
    targets = sum(len(lesson.targets) for lesson in lessons)

    def accumulated(tokens: int) -> float:
        total = 0.0
        for part in micro_batches(range(8), lengths, tokens=tokens):
            piece = loss([lessons[number] for number in part]) / targets
            piece.backward()
            total += float(piece.detach())
        return total

    whole = gradient(model, lambda: loss(lessons) / targets)
    for tokens in (1, 60, 100, 10_000):
        assert_equal(gradient(model, lambda: accumulated(tokens)), whole)  # noqa: B023  # called at once


def test_a_training_does_not_depend_on_its_micro_batches(tmp_path: Path) -> None:
    trained = []
    for tokens in (1, 70, 10_000):
        model = make_model("llama")
        learn(model, made_up(range(6, 30, 2)), tmp_path / str(tokens), micro_batch_tokens=tokens)
        trained.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    for other in trained[1:]:
        assert float((other - trained[0]).norm() / trained[0].norm()) <= EQUAL


@pytest.mark.parametrize("kind", ["gpt2", "llama", "phi"])  # phi's head has a bias
def test_a_head_on_targets_only_equals_a_full_head(kind: str) -> None:
    model, lessons = make_model(kind), made_up([30, 9, 21])
    full = gradient(model, lambda: plain_loss(model)(lessons))
    assert_equal(gradient(model, lambda: fast_loss(model)(lessons)), full)
    by_hand = 0.0
    for one in lessons:
        logits = model(input_ids=torch.tensor([one.ids])).logits[0].detach()
        by_hand -= sum(float(logits[place - 1].log_softmax(0)[one.ids[place]]) for place in one.targets)
    assert by_hand == pytest.approx(full[0], rel=EQUAL)


def test_a_target_too_unlikely_for_its_probability_has_its_loss_all_the_same() -> None:
    model, lessons = make_model("llama", dtype=torch.float32), made_up([30, 9, 21])
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1000)
    expected = float(plain_loss(model)(lessons).detach())
    assert expected / sum(len(one.targets) for one in lessons) > 200
    assert float(fast_loss(model)(lessons).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_head_that_is_not_trained_gets_no_gradient_and_changes_no_other() -> None:
    model, lessons = make_model("llama"), made_up([30, 9, 21])
    model.get_output_embeddings().requires_grad_(False)
    full = gradient(model, lambda: plain_loss(model)(lessons))
    assert_equal(gradient(model, lambda: fast_loss(model)(lessons)), full)
    assert model.get_output_embeddings().weight.grad is None


@pytest.mark.parametrize("make_loss", [fast_loss, plain_loss, lambda model: loss_of(model, made_up([300])[0])[0]])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_padded_batch_equals_single_rows(kind: str, make_loss: Callable[[PreTrainedModel], Loss]) -> None:
    model, lessons = make_model(kind), made_up([3, BLOCK + 40, 20, BLOCK])
    loss = make_loss(model)
    single = gradient(model, lambda: torch.stack([loss([one]) for one in lessons]).sum())
    assert_equal(gradient(model, lambda: loss(lessons)), single)


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 44])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
def test_our_attention_equals_torchs(length: int, heads: int, key_heads: int) -> None:
    torch.manual_seed(length)
    shapes = [(2, heads, length, 8), (2, key_heads, length, 8), (2, key_heads, length, 8)]
    query, key, value = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    ours, _ = causal_blocks(nn.Module(), query, key, value, None)
    theirs = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True).transpose(1, 2)
    assert torch.allclose(ours, theirs, rtol=EQUAL, atol=1e-12)
    weighting = torch.randn_like(theirs)
    ours_back = torch.autograd.grad((ours * weighting).sum(), (query, key, value))
    theirs_back = torch.autograd.grad((theirs * weighting).sum(), (query, key, value))
    for one, other in zip(ours_back, theirs_back, strict=True):
        assert torch.allclose(one, other, rtol=EQUAL, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("mistral", {"sliding_window": 16}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
        ("gemma2", {"head_dim": 8, "final_logit_softcapping": 1.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 4.0}),
    ],
)
def test_a_model_that_does_more_between_trunk_and_loss_is_trained_the_plain_way(
    kind: str, changed: dict[str, Any]
) -> None:
    lessons = made_up([60, 33, 48])
    own = make_model(kind, **changed)
    expected = gradient(own, lambda: plain_loss(own)(lessons))
    model = make_model(kind, **changed)
    loss, fast = loss_of(model, lessons[0])
    assert not fast
    assert model.config._attn_implementation == own.config._attn_implementation
    assert_equal(gradient(model, lambda: loss(lessons)), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_window_only_just_shorter_than_the_longest_sequence_is_seen(dtype: torch.dtype) -> None:
    # Rounding in bf16 hides what a few positions add to the loss, so the loss alone can't tell.
    model = make_model("mistral", dtype=dtype, sliding_window=158)
    assert not loss_of(model, made_up([160])[0])[1]
    assert loss_of(model, made_up([150])[0])[1]


def test_a_plain_way_is_said(tmp_path: Path) -> None:
    progress = Quiet()
    learn(make_model("granite", logits_scaling=4.0), made_up([9] * 4), tmp_path, epochs=1, progress=progress)
    assert any("GraniteForCausalLM is trained the plain way" in line for line in progress.said)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60), tokens=st.integers(1, 200))
def test_micro_batches_hold_every_sequence_once_within_the_budget(lengths: list[int], tokens: int) -> None:
    parts = list(micro_batches(range(len(lengths)), lengths, tokens=tokens))
    assert sorted(number for part in parts for number in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[number] for number in part) <= tokens


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60), batch=st.integers(1, 9), seed=st.integers(0, 3))
def test_an_epoch_holds_every_sequence_once_in_an_order_of_its_own(lengths: list[int], batch: int, seed: int) -> None:
    plan = plan_epoch(lengths, batch=batch, seed=seed, epoch=0)
    assert sorted(number for part in plan for number in part) == list(range(len(lengths)))
    assert len(plan) == math.ceil(len(lengths) / batch)
    assert plan == plan_epoch(lengths, batch=batch, seed=seed, epoch=0)
    if len(lengths) > 20:
        assert plan != plan_epoch(lengths, batch=batch, seed=seed, epoch=1)
        assert plan != plan_epoch(lengths, batch=batch, seed=seed + 1, epoch=0)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate_at(step, total=100, peak=2.0, warmup=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert max(rates) == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert learning_rate_at(0, total=1, peak=2.0, warmup=0.0) == 2.0


def test_only_pieces_that_are_learned_are_targets(tiny_tokenizer: Callable[[str], PreTrainedTokenizerBase]) -> None:
    encoder = Encoder(tiny_tokenizer("sentencepiece"))
    lesson = Lesson(problem="p", pieces=("How many?", "Six.", "Why?", "Because."), learned=(1, 3))
    sequence = encode_lesson(lesson, encoder)
    learned = [sequence.ids[place] for place in sequence.targets]
    assert learned == encoder.piece("Six.") + encoder.piece("Because.")
    assert learned.count(encoder.terminator) == 2
