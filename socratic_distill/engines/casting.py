"""Which engine plays a student in a solve, as the recipe says."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype, device
from socratic_distill.recipe import Server, Solve
from socratic_distill.run import Run
from socratic_distill.students import Bases, Encoder, load_base, load_student, load_tokenizer, read_config, ready

OPENVINO_TYPES = (
    "gemma",
    "gpt2",
    "gpt_neox",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "starcoder2",
)
"""Types of students that were seen to write the same with OpenVINO, as their config.json names them."""
_ROTATIONS = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings that don't change with the length of a text."""

Say = Callable[[str], None]


def student_engine(
    source: str, student: str, solve: Solve, *, bases: Bases | None = None, say: Say = lambda _: None
) -> Engine:
    """Open the engine that plays one student, whose files lie at `source`; untrained, that is its base.

    Students trained with LoRA share those of `bases`; `say` is told of work that takes long. Raises UserError where the
    student or its server can't be had.
    """
    solve = settled(solve, [source])
    return ENGINES[solve.engine](source, student, solve, {} if bases is None else bases, say)


def settled(solve: Solve, sources: Sequence[str]) -> Solve:
    """Say what `auto` means for students whose files lie at `sources`, on this machine.

    The engine is then a named one, and the precision too but for transformers, where it stays the machine's own.
    Raises UserError for a precision that the engine has not.
    """
    engine, precision = solve.engine, solve.precision
    why_not = "" if engine != "auto" else _why_not_openvino(solve, sources)
    if engine == "auto":
        engine = "transformers" if why_not else "openvino"
    if engine == "transformers" and precision == "int8":
        why = f", which can't be had: {why_not}" if why_not else ""
        raise UserError(f'precision = "int8" needs engine = "openvino"{why}; set precision = "bf16" or "fp32"')
    if engine == "openvino" and precision == "auto":
        precision = "int8"
    return solve.model_copy(update={"engine": engine, "precision": precision})


def _why_not_openvino(solve: Solve, sources: Sequence[str]) -> str:
    """Say why students should not run with OpenVINO here; empty where they should."""
    if importlib.util.find_spec("openvino_genai") is None:
        return "openvino is not installed"
    if device().type != "cpu":
        return "this machine has a GPU"
    for source in sources:
        if reason := _unsupported(read_config(source, trained=solve.trained)):
            return reason
    return ""


def _unsupported(config: Mapping[str, Any]) -> str:
    kind = str(config.get("model_type"))
    rotation = (config.get("rope_parameters") or {}).get("rope_type", "default")
    window = config.get("sliding_window") and config.get("use_sliding_window", True)
    if kind not in OPENVINO_TYPES:
        return f"students of type {kind} were not tried with it"
    if window or set(config.get("layer_types") or ()) - {"full_attention"} or rotation not in _ROTATIONS:
        return f"this {kind} student has attention or positions of a kind that it has not"
    return ""


def precision_of(solve: Solve) -> Mapping[str, str]:
    """Return the number types of weights, arithmetic, and cached keys and values, where a settled solve runs here."""
    if solve.engine == "openai":
        return {}
    if solve.engine == "openvino":
        from socratic_distill.engines.conversion import precision_here

        assert solve.precision != "auto", "settled before"
        return asdict(precision_here(solve.precision))
    dtype = {torch.bfloat16: "bf16", torch.float32: "f32"}[dtype_of(solve)]
    return {"weights": dtype, "arithmetic": dtype, "cache": dtype}


def source_of(run: Run, student: str, solve: Solve) -> str:
    """Return where a run's student lies: its folder, or untrained the base's folder or name."""
    if solve.trained:
        return str(run.path(f"students/{student}"))
    name = run.recipe.train.student
    return str(run.path("base")) if name == "scratch" else name


def dtype_of(solve: Solve) -> torch.dtype:
    """Return the number type that a solve computes in, where it computes here."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16}.get(solve.precision) or compute_dtype()


def allowance_of(server: Server) -> Allowance:
    """Return the rates that a server of students is to be asked at; they cost nothing."""
    return Allowance(requests_per_minute=server.requests_per_minute, tokens_per_minute=server.tokens_per_minute)


def _with_transformers(source: str, _student: str, solve: Solve, bases: Bases, _say: Say) -> Engine:
    if solve.trained:
        loaded = load_student(source, dtype=dtype_of(solve), bases=bases)
    else:
        loaded = ready(*load_base(source, dtype=dtype_of(solve)))
    return TransformersEngine(loaded, batch_size=solve.window, dialogues=_at_once(solve))


def _with_openvino(source: str, _student: str, solve: Solve, _bases: Bases, say: Say) -> Engine:
    if importlib.util.find_spec("openvino_genai") is None:
        raise UserError("engine = \"openvino\" needs OpenVINO GenAI; run: pip install 'socratic-distill[openvino]'")
    if reason := _unsupported(read_config(source, trained=solve.trained)):
        raise UserError(f'engine = "openvino" can\'t be had: {reason}; set engine = "transformers"')
    from socratic_distill.engines.conversion import convert
    from socratic_distill.engines.openvino import OpenVINOEngine

    assert solve.precision != "auto", "settled before"
    return OpenVINOEngine(convert(source, solve.precision, trained=solve.trained, say=say), dialogues=_at_once(solve))


def _at_once(solve: Solve) -> int:
    """Count the dialogues that can be open: those of samples and of decompositions run side by side."""
    return solve.window * (solve.samples or 1) * (solve.decompositions or 1)


def _with_server(source: str, student: str, solve: Solve, _bases: Bases, _say: Say) -> Engine:
    if solve.server is None:
        raise UserError('a solve with engine = "openai" needs a server: [solve.<name>.server] base_url = ...')
    if solve.server.api != "completions":
        raise UserError("students are asked by plain completions: set solve.<name>.server.api=completions")
    name = (solve.models or {}).get(student, student)
    encoder = Encoder(load_tokenizer(source))
    return OpenAIEngine(solve.server, name, allowance=allowance_of(solve.server), render=encoder.encode)


ENGINES: dict[str, Callable[[str, str, Solve, Bases, Say], Engine]] = {
    "transformers": _with_transformers,
    "openvino": _with_openvino,
    "openai": _with_server,
}
