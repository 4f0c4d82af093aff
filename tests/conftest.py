"""Fixtures that more than one test module needs."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from socratic_distill.records import Problem
    from socratic_distill.students import LoadedStudent

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

TokenizerKind = Literal["byte_level", "gpt2", "sentencepiece"]
StudentKind = Literal["gpt2", "llama", "llama_sentencepiece"]

KNOWN = {
    "A pen costs $2. How much do 3 pens cost?": "3 pens cost 3*2 = <<3*2=6>>6 dollars. #### 6",
    "Tom has 4 bags of 5 apples and eats 2. How many are left?": (
        "There are 4*5 = <<4*5=20>>20 apples. He has 20-2 = <<20-2=18>>18 left. #### 18"
    ),
    "Can a goat read?": "Goats cannot read. #### no",
}
"""What every tiny student has learned by heart, so that tests can tell what it will write."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data sets beside the checkout; tests on them skip, and say so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {SHARED} is not there, so nothing was checked against published rows")
    return SHARED


@pytest.fixture(scope="module")
def single_thread() -> Iterator[None]:
    """Run a module's tiny models on one thread."""
    with one_thread():
        yield


@pytest.fixture(scope="session")
def known() -> dict[str, str]:
    """Prompts, and the one text that every tiny student writes for each."""
    return KNOWN


@pytest.fixture(scope="session")
def two_problems() -> "list[Problem]":
    """Problems of our own: a number with three steps, and yes or no with facts."""
    from socratic_distill.records import Problem, Step

    orchard = (
        Step(
            subquestion="How many crates does Nora fill?",
            solution="Nora fills 84/12 = <<84/12=7>>7 crates.",
            answer="7",
        ),
        Step(
            subquestion="How much do the crates sell for?",
            solution="They sell for 7*$15 = $<<7*15=105>>105.",
            answer="105",
        ),
        Step(
            subquestion="How much is left after the van is paid?",
            solution="After the van, $105-$28.50 = $<<105-28.5=76.5>>76.50 is left.",
            answer="76.5",
        ),
    )
    penguins = (
        Step(subquestion="Where do emperor penguins breed?", solution="Emperor penguins breed in Antarctica."),
        Step(subquestion="Do polar bears live in answer 1?", solution="", answer="no"),
    )
    return [
        Problem(
            id="orchard",
            split="train",
            question=(
                "Nora picks 84 kg of pears and packs them in crates of 12 kg. Each crate sells for $15, and the van"
                " costs her $28.50. How much money is left?"
            ),
            answer="76.5",
            answer_kind="number",
            rationale="\n".join(step.solution for step in orchard),
            steps=orchard,
            step_count=3,
        ),
        Problem(
            id="penguins",
            split="train",
            question="Could a polar bear hunt a wild emperor penguin?",
            answer="no",
            answer_kind="boolean",
            facts=("Emperor penguins breed in Antarctica.",),
            rationale="Emperor penguins breed in Antarctica.",
            steps=penguins,
            step_count=2,
        ),
    ]


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[[TokenizerKind], "PreTrainedTokenizerBase"]:
    """Makes tokenizers: a scratch student's, one like GPT-2's without a pad token, one like Llama's with a start."""
    return functools.cache(_tokenizer)


@pytest.fixture(scope="session")
def tiny_student(
    tiny_tokenizer: Callable[[TokenizerKind], "PreTrainedTokenizerBase"],
) -> Callable[[StudentKind], "LoadedStudent"]:
    """Makes fp32 students of a context of 96 tokens that know `known` by heart; do not change their weights."""
    kinds: dict[StudentKind, TokenizerKind] = {
        "gpt2": "gpt2",
        "llama": "byte_level",
        "llama_sentencepiece": "sentencepiece",
    }
    return functools.cache(lambda kind: _student(kind, tiny_tokenizer(kinds[kind])))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: with more, tiny models wait for their threads, and long where others work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _tokenizer(kind: TokenizerKind) -> "PreTrainedTokenizerBase":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from socratic_distill.recipe import Scratch
    from socratic_distill.scratch import make_scratch

    texts = [text for pair in KNOWN.items() for text in pair] * 2
    if kind == "byte_level":
        _, tokenizer = make_scratch(Scratch(hidden=8, layers=1, heads=1, vocabulary=400), texts, seed=0)
        return tokenizer
    if kind == "gpt2":
        learned = Tokenizer(models.BPE())
        learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        learned.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        learned.train_from_iterator(texts, trainer)
        return PreTrainedTokenizerFast(
            tokenizer_object=learned, bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>"
        )
    spaces = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Sequence([spaces, pre_tokenizers.Digits(individual_digits=True)])
    learned.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=150, show_progress=False))
    model = json.loads(learned.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: place for place, token in enumerate([*first, *model["vocab"]])}
    pairs = [tuple(pair) for pair in model["merges"]]
    whole = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    whole.pre_tokenizer = spaces
    whole.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    whole.add_special_tokens(["<unk>", "<s>", "</s>"])
    whole.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=whole, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _student(kind: StudentKind, tokenizer: "PreTrainedTokenizerBase") -> "LoadedStudent":
    """Train a tiny model until it knows `KNOWN`; asserts that it does."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from socratic_distill.students import Encoder, ready
    from socratic_distill.training.lessons import Lesson
    from socratic_distill.training.sequences import encode_lesson

    sizes = (
        {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 96, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
        if kind == "gpt2"
        else {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 96,
        }
    )
    config = AutoConfig.for_model(
        "gpt2" if kind == "gpt2" else "llama",
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,  # tied and untrained, a model repeats what it reads
        **sizes,
    )
    encoder = Encoder(tokenizer)
    lessons = [Lesson(problem="", pieces=pair, learned=(1,)) for pair in KNOWN.items()]
    sequences = [encode_lesson(lesson, encoder) for lesson in lessons]
    assert max(len(sequence.ids) for sequence in sequences) <= 96
    ignored = -100
    width = max(len(sequence.ids) for sequence in sequences)
    ids = torch.tensor([one.ids + [encoder.terminator] * (width - len(one.ids)) for one in sequences])
    labels = torch.full_like(ids, ignored)
    for place, sequence in enumerate(sequences):
        labels[place, sequence.targets] = ids[place, sequence.targets]
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(300):
            loss = model(input_ids=ids, labels=labels).loss
            if loss.item() < 0.01:
                break
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert loss.item() < 0.01, f"a tiny {kind} student did not learn its texts: loss {loss.item():.3f}"
    return ready(model, tokenizer)
