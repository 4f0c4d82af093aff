"""Stand-ins that several test modules share: small models, made-up sequences, progress that is kept, processes."""

import multiprocessing
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from socratic_distill.recipe import Train
from socratic_distill.training.loop import Trained, train
from socratic_distill.training.sequences import TokenSequence

VOCABULARY = 64
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}


class Quiet:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep a line."""
        self.said.append(text)

    @contextmanager
    def track(self, text: str, total: float, *, done: float = 0) -> Iterator["Quiet"]:
        """Show nothing."""
        yield self

    def advance(self, steps: float = 1, status: str = "") -> None:
        """Show nothing."""


class Stopped(Quiet):
    """A user who presses Ctrl-C at the first thing that is done."""

    def advance(self, steps: float = 1, status: str = "") -> None:
        """Stop."""
        raise KeyboardInterrupt


def make_model(
    kind: str,
    *,
    vocabulary: int = VOCABULARY,
    dtype: torch.dtype = torch.float64,
    dropout: float = 0.0,
    **changed: Any,
) -> PreTrainedModel:
    """Make a small model with weights large enough that every part of it matters."""
    dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"), dropout)
    sizes: dict[str, Any] = {**(GPT2 if kind == "gpt2" else LLAMA), **dropouts, "pad_token_id": 0, **changed}
    config = AutoConfig.for_model(kind, vocab_size=vocabulary, **sizes)
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    if kind == "llama":
        _widen_norms(model)
    model.to(dtype)  # type: ignore[arg-type]  # transformers types `to` as a decorated function
    return model


def _widen_norms(model: PreTrainedModel) -> None:
    """Let norms compute in the model's own precision; transformers' Llama ones compute in fp32 whatever it is."""
    for module in list(model.modules()):
        for name, norm in module.named_children():
            if type(norm).__name__ == "LlamaRMSNorm":
                scale = norm.get_parameter("weight")
                wide = nn.RMSNorm(scale.shape, eps=float(vars(norm)["variance_epsilon"]))
                wide.weight = scale
                setattr(module, name, wide)


def made_up(lengths: Sequence[int], *, seed: int = 0) -> list[TokenSequence]:
    """Make sequences of random ids whose targets are two spans."""
    draw = random.Random(seed)
    return [
        TokenSequence(
            [draw.randrange(VOCABULARY) for _ in range(length)],
            [place for place in range(1, length) if place >= length // 2 or place % 5 == 0],
        )
        for length in lengths
    ]


def learn(model: PreTrainedModel, lessons: Sequence[TokenSequence], folder: Path, **changed: object) -> Trained:
    """Train with settings for a small model."""
    own = {"validation", "fingerprint", "progress"} & changed.keys()
    given_apart: dict[str, Any] = {key: changed.pop(key) for key in own}
    settings = Train.model_validate({"epochs": 2, "batch_problems": 4, "warmup": 0, **changed})
    asked: dict[str, Any] = {"validation": [], "fingerprint": "f", "progress": Quiet()} | given_apart
    return train(model, lessons, settings=settings, folder=folder, name="student", **asked)


def forked(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that may be killed; a server that has imported torch forks it, so that a start costs nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["socratic_distill.stages.train", "socratic_distill.stages.solve", "hypothesis"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def wait_for(process: BaseProcess) -> None:
    """Wait for a process to end well."""
    process.join(300)
    assert process.exitcode == 0


def kill(process: BaseProcess) -> None:
    """Kill a process as a power cut would."""
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it was over before it could be killed"
