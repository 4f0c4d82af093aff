"""Students made from nothing: they follow their seed, and their tokenizer writes every text."""

import torch

from socratic_distill.recipe import Scratch
from socratic_distill.scratch import make_scratch
from socratic_distill.students import Encoder


def test_a_scratch_student_follows_its_seed_and_leaves_the_global_one_alone() -> None:
    size = Scratch(hidden=16, layers=1, heads=2, vocabulary=320, context=64)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    models = [make_scratch(size, ["How many pens?", "3 pens"], seed=seed)[0] for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    first, same, other = (torch.cat([weight.flatten() for weight in model.parameters()]) for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_a_scratch_student_writes_every_text_though_it_saw_few() -> None:
    size = Scratch(hidden=16, layers=1, heads=2, vocabulary=320, context=64)
    model, tokenizer = make_scratch(size, ["pens"], seed=0)
    encoder = Encoder(tokenizer)
    text = "Ünïcode 笔 2024 \t\n"
    assert encoder.decode(encoder.piece(text)) == text
    assert max(encoder.piece(text)) < model.config.vocab_size
    digits = encoder.piece("2024")
    assert len(digits) == 5, "every digit is a token of its own"
