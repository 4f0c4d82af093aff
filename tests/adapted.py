"""A base and two students trained with LoRA on it, laid out as a run has them; for tests of adapters and of merging."""

from collections.abc import Sequence
from pathlib import Path

import torch

from socratic_distill.adapters import put_lora
from socratic_distill.artifacts import write_manifest
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.recipe import Lora
from socratic_distill.records import Completion, Prompt, Sampling
from socratic_distill.students import (
    Encoder,
    LoadedStudent,
    load_base,
    save_adapter,
    save_student,
    weights_fingerprint,
)

PAIR = ("decomposer", "solver")


def save_pair(run: Path, tiny: LoadedStudent) -> list[Path]:
    """Save a tiny student as a run's base and two adapters of it; return their folders."""
    base = run / "base"
    assert isinstance(tiny.encoder, Encoder)
    save_student(base, tiny.model, tiny.encoder, name="base", base="scratch")
    return [save_adapted(run / "students" / name, base, seed=seed) for seed, name in enumerate(PAIR)]


def save_adapted(folder: Path, base: Path, *, seed: int, dtype: torch.dtype = torch.float32) -> Path:
    """Save an adapter that changes what its base writes, as training does: its manifest last."""
    model, tokenizer = load_base(str(base), dtype=dtype)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        adapted = put_lora(model, Lora(rank=4, alpha=8))
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.4)
    named = save_adapter(
        folder, adapted, Encoder(tokenizer), name=folder.name, base="scratch", source=str(base)
    )  # fmt: skip
    write_manifest(
        folder,
        settings={"prompt_version": PROMPT_VERSION},
        inputs={"base": named["fingerprint"]},
        facts={"student": folder.name, "base": named, "weights": weights_fingerprint(folder, base=named)},
    )
    return folder


def logits(student: LoadedStudent, text: str) -> torch.Tensor:
    """Return what a student gives for the next token after each of a text's: (tokens, vocabulary)."""
    ids = torch.tensor([student.encode(Prompt(pieces=(text,)))])
    student.activate()
    with torch.inference_mode():
        found: torch.Tensor = student.model(input_ids=ids, use_cache=False).logits[0]
    return found


def written(engines: Sequence, questions: Sequence[str], *, tokens: int = 24) -> list[list[Completion]]:
    """Put questions to engines and poll them in turn, a step each, until all have ended."""
    found: list[dict[str, Completion]] = [{} for _ in engines]
    for engine in engines:
        for question in questions:
            engine.submit(question, Prompt(pieces=(question,)), Sampling(max_tokens=tokens))
    while any(len(completions) < len(questions) for completions in found):
        for engine, completions in zip(engines, found, strict=True):
            if len(completions) < len(questions):
                completions.update(engine.poll())
    return [[completions[question] for question in questions] for completions in found]
