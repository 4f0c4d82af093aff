"""`socratic train`: every student that the recipe's solves need, each trained once and shared by the strategies."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from socratic_distill.artifacts import fingerprint, fingerprint_records
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype, release_memory
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.reasoning.strategies import STRATEGIES, Strategy, named_strategy
from socratic_distill.recipe import Recipe, Train
from socratic_distill.records import Annotation, Problem
from socratic_distill.run import Run, Target, by_problem
from socratic_distill.students import (
    Encoder,
    base_fingerprint,
    load_base,
    make_scratch,
    save_student,
)
from socratic_distill.training.checkpoint import remove_checkpoints
from socratic_distill.training.loop import train
from socratic_distill.training.sequences import Lesson, encode_lesson, lessons_of

# Settings that bound memory or time and change a result by rounding at most.
_WITHOUT_EFFECT = {"micro_batch_tokens", "checkpoint_minutes"}


def trained_strategies(recipe: Recipe) -> list[Strategy]:
    """Return the strategies whose students the recipe trains, without repeats, in the order of the table."""
    named = [named_strategy(solve.strategy).name for solve in recipe.solve.values() if solve.trained]
    return [strategy for name, strategy in STRATEGIES.items() if name in named]


def targets(run: Run) -> Iterator[Target]:
    """Offer the scratch base, where the recipe has one, and a folder for each student."""
    settings = run.recipe.train
    strategies = trained_strategies(run.recipe)
    problems = run.problems("train", "validation")
    annotations = usable(run.kept(), strategies, rows=settings.rows)
    base = base_fingerprint(settings.student)
    if settings.student == "scratch":
        offered = scratch_target(run, problems, annotations)
        base = fingerprint([offered.settings, offered.inputs])
        yield offered
    kept = {key: value for key, value in settings.model_dump(mode="json").items() if key not in _WITHOUT_EFFECT}
    if settings.student != "scratch":
        kept.pop("scratch")
    for student in dict.fromkeys(name for strategy in strategies for name in strategy.students):
        lessons = lessons_for(student, strategies, problems, annotations, settings)
        learned = {
            split: [lesson for problem in problems if problem.split == split for lesson in lessons.get(problem.id, ())]
            for split in ("train", "validation")
        }
        if not learned["train"]:
            raise UserError(f"no annotation can teach the {student}: the data set has no subquestions for any problem")
        inputs = {"base": base, **{split: fingerprint_records(rows) for split, rows in learned.items()}}
        yield Target(
            f"students/{student}",
            {**kept, "prompt_version": PROMPT_VERSION},
            inputs,
            partial(_make, run, student, learned, fingerprint([kept, PROMPT_VERSION, inputs])),
            partial(remove_checkpoints, run.path(f"students/{student}")),
        )


def usable(annotations: Sequence[Annotation], strategies: Sequence[Strategy], *, rows: str) -> list[Annotation]:
    """Return the annotations that teach: with `shared`, those alone that every strategy can use."""
    if rows == "all":
        return list(annotations)
    return [one for one in annotations if all(strategy.texts(one) is not None for strategy in strategies)]


def lessons_for(
    student: str,
    strategies: Sequence[Strategy],
    problems: Sequence[Problem],
    annotations: Sequence[Annotation],
    settings: Train,
) -> dict[str, list[Lesson]]:
    """Return what a student learns, by problem, from the first strategy that asks it."""
    strategy = next(one for one in strategies if student in one.students)
    groups = by_problem(annotations)
    return {
        problem.id: [
            lesson
            for annotation in groups.get(problem.id, ())
            for lesson in lessons_of(student, strategy, problem, annotation, settings.facts)
        ]
        for problem in problems
    }


def scratch_target(run: Run, problems: Sequence[Problem], annotations: Sequence[Annotation]) -> Target:
    """Offer `base/`: an untrained student of the recipe's size, its tokenizer made from the problems to learn from."""
    settings = run.recipe.train
    groups = by_problem(annotations)
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
    name = run.recipe.train.student
    dtype = compute_dtype()
    source = str(run.path("base")) if name == "scratch" else name
    return load_base(source, dtype=dtype, dropout=run.recipe.train.dropout)


def _make(run: Run, student: str, learned: Mapping[str, Sequence[Lesson]], identity: str) -> Mapping[str, Any]:
    settings = run.recipe.train
    folder = run.path(f"students/{student}")
    torch.manual_seed(settings.seed)
    model, tokenizer = load_start(run)
    base_parameters = model.num_parameters()
    encoder = Encoder(tokenizer)
    sequences = {split: [encode_lesson(lesson, encoder) for lesson in lessons] for split, lessons in learned.items()}
    fitting = {split: [one for one in rows if len(one.ids) <= settings.max_tokens] for split, rows in sequences.items()}
    too_long = sum(len(sequences[split]) - len(fitting[split]) for split in sequences)
    if not fitting["train"]:
        raise UserError(f"every sequence of the {student} is longer than train.max_tokens = {settings.max_tokens}")
    adapted = _with_lora(model, settings) if settings.lora else None
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
    if adapted is not None:
        model = adapted.merge_and_unload()
    save_student(folder, model, encoder, name=student, base=settings.student)
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
        "too_long": too_long,
        "parameters": base_parameters,
        "dtype": dtype,
        "weights": weights_fingerprint(folder),
    }


def _with_lora(model: PreTrainedModel, settings: Train) -> Any:
    """Put low-rank adapters into a model, which alone are trained."""
    from peft import LoraConfig, get_peft_model

    lora = settings.lora
    assert lora is not None
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise UserError(f"train.lora.targets: {error}") from error


def weights_fingerprint(folder: Path) -> str:
    """Return a saved student's weights in 16 digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
