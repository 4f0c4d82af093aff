"""`socratic train`: every student that the recipe's solves need, each trained once and shared by the strategies."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from socratic_distill.adapters import put_lora
from socratic_distill.artifacts import fingerprint, fingerprint_records
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype, release_memory
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.records import Split
from socratic_distill.run import Run, Target, by_problem
from socratic_distill.scratch import make_scratch
from socratic_distill.students import (
    Encoder,
    base_fingerprint,
    load_base,
    save_adapter,
    save_student,
    weights_fingerprint,
)
from socratic_distill.training.checkpoint import remove_checkpoints
from socratic_distill.training.lessons import Lesson, lessons_by_student, trained_strategies, usable
from socratic_distill.training.loop import train
from socratic_distill.training.sequences import encode_lesson

# Settings that bound memory or time and change a result by rounding at most.
_WITHOUT_EFFECT = {"micro_batch_tokens", "checkpoint_minutes"}


def targets(run: Run) -> Iterator[Target]:
    """Offer the scratch base, where the recipe has one, and a folder for each student."""
    settings = run.recipe.train
    learned = lessons_by_student(run)
    base = base_fingerprint(settings.student)
    if settings.student == "scratch":
        offered = scratch_target(run)
        base = fingerprint([offered.settings, offered.inputs])
        yield offered
    kept = {key: value for key, value in settings.model_dump(mode="json").items() if key not in _WITHOUT_EFFECT}
    if settings.student != "scratch":
        kept.pop("scratch")
    for student, lessons in learned.items():
        inputs = {"base": base} | {str(split): fingerprint_records(rows) for split, rows in lessons.items()}
        yield Target(
            f"students/{student}",
            {**kept, "prompt_version": PROMPT_VERSION},
            inputs,
            partial(_make, run, student, lessons, fingerprint([kept, PROMPT_VERSION, inputs])),
            partial(remove_checkpoints, run.path(f"students/{student}")),
        )


def scratch_target(run: Run) -> Target:
    """Offer `base/`: an untrained student of the recipe's size, its tokenizer made from the problems to learn from."""
    settings = run.recipe.train
    problems = run.problems("train", "validation")
    groups = by_problem(usable(run.kept(), trained_strategies(run.recipe), rows=settings.rows))
    texts = [
        text
        for problem in problems
        for annotation in groups.get(problem.id, ())
        for text in (
            problem.question,
            *(problem.facts if settings.facts == "gold" else ()),
            annotation.rationale,
            *(step.subquestion for step in annotation.steps),
            *(step.solution for step in annotation.steps),
            f"#### {annotation.answer}",
        )
    ]

    def make() -> Mapping[str, Any]:
        model, tokenizer = make_scratch(settings.scratch, texts, seed=settings.seed)
        save_student(run.path("base"), model, Encoder(tokenizer), name="base", base="scratch")
        return {"parameters": model.num_parameters(), "vocabulary": len(tokenizer)}

    return Target(
        "base",
        {**settings.scratch.model_dump(mode="json"), "seed": settings.seed, "prompt_version": PROMPT_VERSION},
        {"texts": fingerprint(texts)},
        make,
    )


def load_start(run: Run) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model that training starts from."""
    return load_base(_start(run), dtype=compute_dtype(), dropout=run.recipe.train.dropout)


def _start(run: Run) -> str:
    name = run.recipe.train.student
    return str(run.path("base")) if name == "scratch" else name


def _make(run: Run, student: str, learned: Mapping[Split, Sequence[Lesson]], identity: str) -> Mapping[str, Any]:
    settings = run.recipe.train
    folder = run.path(f"students/{student}")
    torch.manual_seed(settings.seed)
    model, tokenizer = load_start(run)
    base_parameters = model.num_parameters()
    encoder = Encoder(tokenizer)
    sequences = {split: [encode_lesson(lesson, encoder) for lesson in lessons] for split, lessons in learned.items()}
    fitting = {split: [one for one in rows if len(one.ids) <= settings.max_tokens] for split, rows in sequences.items()}
    too_long = sum(len(sequences[split]) - len(fitting[split]) for split in sequences)
    problems = {
        lesson.problem
        for lesson, one in zip(learned["train"], sequences["train"], strict=True)
        if len(one.ids) <= settings.max_tokens
    }
    if not fitting["train"]:
        raise UserError(f"every sequence of the {student} is longer than train.max_tokens = {settings.max_tokens}")
    adapted = put_lora(model, settings.lora) if settings.lora else None
    trained = train(
        model,
        fitting["train"],
        validation=fitting["validation"],
        settings=settings,
        folder=folder,
        fingerprint=identity,
        progress=run.progress,
        name=student,
    )
    named = {"name": student, "base": settings.student}
    base = None
    if adapted is None:
        save_student(folder, model, encoder, **named)
    else:
        base = save_adapter(folder, adapted, encoder, **named, source=_start(run))
    loss = (
        "" if trained.best_loss is None else f", validation loss {trained.best_loss:.3f} at epoch {trained.best_epoch}"
    )
    run.progress.say(
        f"trained {student}: {len(fitting['train'])} sequences, {trained.steps} steps, {trained.seconds:,.0f} s{loss}"
    )
    dtype = str(model.dtype).removeprefix("torch.")
    del model, adapted
    release_memory()
    return {
        "student": student,
        "trained": trained.model_dump(mode="json"),
        "sequences": {split: len(rows) for split, rows in fitting.items()},
        "problems": len(problems),
        "too_long": too_long,
        "parameters": base_parameters,
        "dtype": dtype,
        "weights": weights_fingerprint(folder, base=base),
        **({"base": base} if base else {}),
    }
