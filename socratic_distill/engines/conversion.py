"""A student as OpenVINO has it: converted once for each precision, by OpenVINO itself, and kept in the cache folder."""

import functools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino
import torch
from openvino import opset13
from openvino._offline_transformations import apply_make_stateful_transformation, apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

from socratic_distill.artifacts import fingerprint, write_whole
from socratic_distill.errors import UserError
from socratic_distill.machine import cache_folder, release_memory
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.students import (
    Encoder,
    base_fingerprint,
    context_length,
    load_base,
    load_student,
    read_student_manifest,
)

CONVERSION = 1
"""To be raised when a student is converted otherwise."""
KEPT = 8
"""Converted students that are kept; the least recently used go first."""

PrecisionName = Literal["int8", "bf16", "fp32"]


@dataclass(frozen=True)
class Precision:
    """Number types of weights, arithmetic, and cached keys and values, as OpenVINO calls them."""

    weights: str
    arithmetic: str
    cache: str


PRECISIONS: Mapping[PrecisionName, Precision] = {
    "int8": Precision("i8", "bf16", "u8"),
    "bf16": Precision("bf16", "bf16", "bf16"),
    "fp32": Precision("f32", "f32", "f32"),
}
_CACHE_WIDTH = {"u8": 1, "bf16": 2, "f32": 4}


def precision_here(name: PrecisionName) -> Precision:
    """Return what a precision means on this machine: int8 computes in f32 where the processor has no bf16.

    Raises UserError for bf16 on such a processor.
    """
    precision = PRECISIONS[name]
    if precision.arithmetic != "bf16" or _computes_bf16():
        return precision
    if name == "bf16":
        raise UserError('this processor does not compute in bf16; set precision = "int8" or "fp32"')
    return Precision(precision.weights, "f32", precision.cache)


@functools.cache
def _computes_bf16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@dataclass(frozen=True)
class Converted:
    """A student as OpenVINO has it: a folder with its graph, its tokenizer and what else an engine must know."""

    folder: Path
    precision: Precision
    context: int
    token_bytes: int
    """Bytes that the keys and values of one token take in the cache."""


def convert(
    source: str,
    precision: PrecisionName,
    *,
    trained: bool = True,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Convert a trained student's folder, or an untrained base, unless that is in `cache` from before.

    Adapters are added to their base. `cache` is the user's if not given. Raises UserError where the student can't be
    had or OpenVINO can't take it.
    """
    here = precision_here(precision)
    name = Path(source).name
    if trained:
        manifest = read_student_manifest(Path(source))
        weights = [manifest.get("weights"), manifest.get("settings", {}).get("prompt_version"), PROMPT_VERSION]
    else:
        weights = [base_fingerprint(source)]
    key = fingerprint([weights, here.weights, CONVERSION, openvino.get_version()])
    folder = (cache or cache_folder() / "openvino") / f"{name}-{precision}-{key}"
    if not (folder / "sizes.json").is_file():
        say(f"converts {name} to OpenVINO, {here.weights} weights (once)")
        if trained:
            student = load_student(source, dtype=torch.float32)
            model = student.shared.merged() if student.shared else student.model
            tokenizer = student.encoder
        else:
            model, plain = load_base(source, dtype=torch.float32)
            tokenizer = Encoder(plain)
        assert isinstance(tokenizer, Encoder)
        _write(folder, model.cpu(), tokenizer, here.weights)
        release_memory()
    os.utime(folder)
    sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
    return Converted(folder, here, sizes["context"], sizes["cached_numbers"] * _CACHE_WIDTH[here.cache])


def _write(folder: Path, model: PreTrainedModel, encoder: Encoder, weights: str) -> None:
    """Write a converted student whole or not at all, and let go of those that were not used for long."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        graph, cached_numbers = _graph(model)
        _narrow(graph, weights)
        temporary.mkdir(parents=True)
        openvino.save_model(graph, temporary / "openvino_model.xml", compress_to_fp16=False)
        encoder.tokenizer.save_pretrained(temporary / "tokenizer")
        model.config.save_pretrained(temporary / "tokenizer")
        sizes = {"context": context_length(model), "cached_numbers": cached_numbers}
        write_whole(temporary / "sizes.json", json.dumps(sizes))
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another run was faster
            raise UserError(f"can't write {folder}: {error.strerror}; make room and run it again") from error
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"OpenVINO can't take a {model.config.model_type} student ({last_line(error)}); "
            'set engine = "transformers"'
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    kept = sorted(folder.parent.glob("*-*/sizes.json"), key=lambda path: path.parent.stat().st_mtime, reverse=True)
    for path in kept[KEPT:]:
        shutil.rmtree(path.parent, ignore_errors=True)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend in the one shape that OpenVINO GenAI replaces by its paged attention, which masks by itself."""
    group = getattr(module, "num_key_value_groups", 1)
    keys, values = repeat_kv(key, group), repeat_kv(value, group)
    attended = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=attention_mask, scale=scaling)
    return attended.transpose(1, 2), None


AttentionInterface.register("openvino_paged", _attend)


class _Traceable(nn.Module):
    """A model as a function of tensors: ids, mask, positions and each layer's cache, to logits and caches."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor) -> Any:
        """Return logits, then keys and values of every layer."""
        cache = DynamicCache(config=self.model.config)
        layers: list[Any] = cache.layers
        for place, layer in enumerate(layers):
            layer.keys, layer.values = past[2 * place : 2 * place + 2]
            layer.dtype, layer.device, layer.is_initialized = past[0].dtype, past[0].device, True
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask[:, None, None].to(torch.float32),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits, *(states for layer in layers for states in (layer.keys, layer.values))


@torch.inference_mode()
def _graph(model: PreTrainedModel) -> tuple[Any, int]:
    """Turn a model into a graph that keeps its cache as state, and count the numbers that it caches of a token."""
    model.eval().set_attn_implementation("openvino_paged")
    probe = DynamicCache(config=model.config)
    model(input_ids=torch.zeros(1, 2, dtype=torch.long), past_key_values=probe, use_cache=True)
    layers: list[Any] = probe.layers
    shapes = [states.shape for layer in layers for states in (layer.keys, layer.values)]
    example = (
        torch.zeros(2, 3, dtype=torch.long),
        torch.ones(2, 5, dtype=torch.long),
        torch.arange(2, 5).repeat(2, 1),
        *(torch.zeros(2, heads, 2, width) for _, heads, _, width in shapes),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing takes for constant is meant to be
        traced = torch.jit.trace(_Traceable(model), example, check_trace=False, strict=False)
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # the frontend does not keep it alive
    graph = frontend.convert(frontend.load(decoder))
    inputs, outputs = graph.inputs, graph.outputs
    for port, name in zip(inputs, ("input_ids", "attention_mask", "position_ids"), strict=False):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)  # GenAI goes by this one
    outputs[0].get_tensor().set_names({"logits"})
    beam = opset13.parameter([-1], dtype=np.int32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    graph.add_parameters([beam])
    states: dict[str, str] = {}
    for place, (past, present, (_, heads, _, width)) in enumerate(zip(inputs[3:], outputs[1:], shapes, strict=True)):
        past.get_tensor().set_names({f"past.{place}"})
        present.get_tensor().set_names({f"present.{place}"})
        past.get_node().set_partial_shape(openvino.PartialShape([-1, heads, -1, width]))
        readers = past.get_target_inputs()
        chosen = opset13.gather(past, beam, opset13.constant(0))
        for reader in readers:
            reader.replace_source_output(chosen.output(0))
        states[f"past.{place}"] = f"present.{place}"
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, states)
    _begin_empty(graph)
    apply_moc_transformations(graph, cf=False)
    return graph, sum(heads * width for _, heads, _, width in shapes)


def _begin_empty(graph: Any) -> None:
    """Give every state its first value, without which GenAI does not know it for a cache."""
    rows = opset13.gather(
        opset13.shape_of(graph.input("input_ids"), output_type="i64"), opset13.constant([0]), opset13.constant(0)
    )
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, width = node.get_output_partial_shape(0)
            rest = opset13.constant(np.array([heads.get_length(), 0, width.get_length()], dtype=np.int64))
            shape = opset13.concat([rows, rest], axis=0)
            node.set_arguments([opset13.broadcast(opset13.constant(np.float32(0)), shape)])
    graph.validate_nodes_and_infer_types()


def _narrow(graph: Any, weights: str) -> None:
    """Store matrices, those of embeddings too, in a narrower type; int8 has a scale for each row, around zero."""
    if weights == "f32":
        return
    for node in graph.get_ops():
        if node.get_type_name() != "Constant" or len(node.get_output_shape(0)) != 2:
            continue
        readers = node.output(0).get_target_inputs()
        kinds = {(reader.get_node().get_type_name(), reader.get_index()) for reader in readers}
        if not kinds <= {("MatMul", 1), ("Gather", 0)}:
            continue
        matrix: np.ndarray[Any, np.dtype[np.float32]] = node.get_data()
        if weights == "bf16":
            wide = opset13.convert(opset13.constant(matrix, dtype=openvino.Type.bf16), "f32")
        else:
            scale = np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)
            scale[scale == 0] = 1
            whole = np.round(matrix / scale).astype(np.int8)
            wide = opset13.multiply(opset13.convert(opset13.constant(whole), "f32"), opset13.constant(scale))
        for reader in readers:
            reader.replace_source_output(wide.output(0))


def last_line(error: Exception) -> str:
    """Return what an error of OpenVINO says last, which is what went wrong; before, it tells where."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
