"""Low-rank adapters: put into a model to be trained, saved as a plain PEFT folder, several of them in one base."""

import json
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from transformers import PreTrainedModel

from socratic_distill.errors import UserError
from socratic_distill.recipe import Lora

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Tell whether a student's folder holds an adapter, and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def put_lora(model: PreTrainedModel, lora: Lora) -> PeftModel:
    """Put new adapters into a model, which alone are trained. Raises UserError for targets that it can't have."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise UserError(f"train.lora.targets: {error}") from error
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if model.config.get_text_config().tie_word_embeddings and any(isinstance(end, BaseTunerLayer) for end in ends):
        raise UserError("train.lora.targets: embeddings and head of this student are one matrix; target other layers")
    return adapted


def write_adapter(folder: Path, adapted: PeftModel, *, base: str) -> None:
    """Write the adapter that was trained; `base` is what others load its base by, a folder or a hub name."""
    config: Any = adapted.peft_config["default"]
    config.base_model_name_or_path = base
    config.target_modules = sorted(config.target_modules)  # a set, whose order would differ from run to run
    adapted.save_pretrained(str(folder), save_embedding_layers=False)


def written_base(folder: Path) -> str:
    """Return what an adapter's own file calls its base."""
    return str(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"])


class SharedBase:
    """One model in memory with the adapters of several students, of which one is active."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._adapted: PeftModel | None = None
        self._layers: list[Any] = []
        self._active = ""

    def add(self, folder: Path) -> str:
        """Load a student's adapter beside the others and return its name here.

        Raises what safetensors, json and torch raise for damaged files, and ValueError for weights that are not all
        there.
        """
        name = f"student_{len(self._adapted.peft_config) if self._adapted else 0}"
        config = _read_config(folder)
        weights = {key: weight.to(self.model.dtype) for key, weight in load_file(folder / ADAPTER_WEIGHTS).items()}
        if self._adapted is None:
            self._adapted = get_peft_model(
                self.model, config, adapter_name=name, autocast_adapter_dtype=False, low_cpu_mem_usage=True
            )
        else:
            self._adapted.add_adapter(name, config, low_cpu_mem_usage=True)
        result: Any = set_peft_model_state_dict(self._adapted, weights, adapter_name=name, low_cpu_mem_usage=True)
        absent = [key for key in result.missing_keys if f".{name}." in key]
        if absent or result.unexpected_keys:
            raise ValueError(
                f"{ADAPTER_WEIGHTS} lacks or has too much: {', '.join([*absent, *result.unexpected_keys][:2])}"
            )
        self._layers = [module for module in self.model.modules() if isinstance(module, BaseTunerLayer)]
        self._active = ""
        return name

    def activate(self, name: str) -> None:
        """Let the next forward pass be that of one student."""
        if name != self._active:
            # PEFT's own `set_adapter` goes through every weight: for SmolLM2 13 ms of a step of 75, this is 0.2.
            for layer in self._layers:
                layer._active_adapter = [name]
            self._active = name

    def merged(self) -> PreTrainedModel:
        """Add the only adapter to the weights for good and return the model, which is then a plain one."""
        assert self._adapted is not None and len(self._adapted.peft_config) == 1
        model: PreTrainedModel = self._adapted.merge_and_unload()
        return model


def _read_config(folder: Path) -> LoraConfig:
    """Read what `put_lora` set and nothing else: PEFT has settings that name modules to import."""
    content = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return LoraConfig(
        r=content["r"],
        lora_alpha=content["lora_alpha"],
        target_modules=content["target_modules"],
        fan_in_fan_out=content["fan_in_fan_out"],
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
