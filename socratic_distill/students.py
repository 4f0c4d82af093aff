"""Names, loads and saves students: a plain Hugging Face folder, or a PEFT adapter's; the manifest is written last."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from socratic_distill.adapters import ADAPTER_CONFIG, SharedBase, is_adapter, write_adapter, written_base
from socratic_distill.artifacts import write_whole
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype, device
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.records import Prompt
from socratic_distill.smollm2 import SMOLLM2, smollm2_fingerprint, smollm2_folder

MANIFEST = "manifest.json"

UNLOADABLE = (OSError, ValueError, KeyError, ImportError, RuntimeError)
"""What transformers raises for a model that it can't load: also where one is quantised and the package is missing."""

Bases = dict[tuple[str, torch.dtype], SharedBase]
"""Bases in memory, by where they are and their number type."""


class Encoder:
    """Turns prompts into token ids and back: every piece by itself, each ended by the terminator.

    Text that spells a special token is read as plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path!r} has no end-of-sequence token; choose another")
        self.tokenizer = tokenizer
        self.terminator: int = tokenizer.eos_token_id
        first: list[int] = tokenizer("a").input_ids
        bos = tokenizer.bos_token_id
        self._start = [bos] if bos is not None and first[:1] == [bos] else []

    def piece(self, text: str) -> list[int]:
        """Encode one whole piece, its terminator included."""
        return [*self._plain(text), self.terminator]

    def start(self) -> list[int]:
        """Return what the tokenizer puts before every sequence: its beginning token, or nothing."""
        return list(self._start)

    def encode(self, prompt: Prompt) -> list[int]:
        """Encode a prompt: whole pieces, then what is begun, without a terminator."""
        ids = self.start()
        for piece in prompt.pieces:
            ids += self.piece(piece)
        return ids + self._plain(prompt.begun) if prompt.begun else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Turn generated ids into text; special tokens are left out."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return ids


class ChatEncoder:
    """Turns a teacher's prompts into token ids by its tokenizer's chat template: user and assistant in turn.

    Text that spells a special token is read as that token.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.terminator = encoder.terminator

    def encode(self, prompt: Prompt) -> list[int]:
        """Encode a prompt and the template's opening of a reply, then what is begun."""
        turns = [
            {"role": ("user", "assistant")[place % 2], "content": piece} for place, piece in enumerate(prompt.pieces)
        ]
        ids: Any = self._encoder.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        return [*ids, *(self._encoder.piece(prompt.begun)[:-1] if prompt.begun else ())]

    def decode(self, ids: Sequence[int]) -> str:
        """Turn generated ids into text; special tokens are left out."""
        return self._encoder.decode(ids)


@dataclass(frozen=True)
class LoadedStudent:
    """A model ready to write, and its encoder."""

    model: PreTrainedModel
    encoder: Encoder | ChatEncoder
    context: int
    """Tokens that prompt and completion may have together."""
    shared: SharedBase | None = None
    """What the model is part of, where this student is an adapter."""
    adapter: str = ""
    """This student's name in `shared`."""

    def encode(self, prompt: Prompt) -> list[int]:
        """Encode a prompt for this student."""
        return self.encoder.encode(prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Turn this student's ids into text."""
        return self.encoder.decode(ids)

    def activate(self) -> None:
        """Let the model write as this student: to be called before each forward pass, for others may share it."""
        if self.shared is not None:
            self.shared.activate(self.adapter)

    @property
    def terminator(self) -> int:
        """The id that ends every piece."""
        return self.encoder.terminator


def context_length(model: PreTrainedModel) -> int:
    """Return how many positions a model has."""
    return int(getattr(model.config, "max_position_embeddings", None) or 2048)


def load_base(
    name: str, *, dtype: torch.dtype | Literal["auto"], dropout: float | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained student by `smollm2-135m`, a local folder, or a hub name.

    `auto` is the type that it was saved in; `dropout` replaces every dropout of its config. Raises UserError where the
    student is not there.
    """
    source = base_source(name)
    _check_source(source)
    if is_adapter(Path(source)):
        raise UserError(f"{source} is an adapter, no whole model; run: socratic merge {source} OUT")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        config = AutoConfig.from_pretrained(source)
        if dropout is not None:
            for key in [key for key in vars(config) if key.endswith(("dropout", "pdrop"))]:
                setattr(config, key, dropout)
        model = AutoModelForCausalLM.from_pretrained(source, config=config, dtype=dtype)
    except (*UNLOADABLE, SafetensorError) as error:
        raise UserError(
            f"can't load a student from {name!r}: {_first_line(error)}; name a model folder, a hub model or {SMOLLM2!r}"
        ) from error
    return model, tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a pretrained student, without its weights."""
    source = base_source(name)
    _check_source(source)
    try:
        return AutoTokenizer.from_pretrained(source)
    except UNLOADABLE as error:
        raise UserError(f"can't load a tokenizer from {name!r}: {_first_line(error)}") from error


def base_source(name: str) -> str:
    """Return what the libraries below us load a base by: a folder or a hub name."""
    return str(smollm2_folder()) if name == SMOLLM2 else name


def read_config(source: str, *, trained: bool = True) -> dict[str, Any]:
    """Read what the config.json of a student's model says; of an adapter, its base's. `source` is as in `load_base`.

    Raises UserError where it is not there.
    """
    folder = Path(source)
    if trained and is_adapter(folder):
        source = base_of(folder, read_student_manifest(folder))
    _check_source(source := base_source(source))
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(source).to_dict()
    except UNLOADABLE as error:
        raise UserError(f"can't read the configuration of {source!r}: {_first_line(error)}") from error
    return config


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_source(source: str) -> None:
    looks_local = source.startswith((".", "/", "~")) or source.count("/") != 1
    if Path(source).is_dir():
        if not (is_adapter(Path(source)) or (Path(source) / "config.json").is_file()):
            raise UserError(f"{source} is not a model folder: it has no config.json")
    elif looks_local and "/" in source:
        raise UserError(
            f"no model folder {source!r}; name a folder, a hub model such as openai-community/gpt2, or {SMOLLM2!r}"
        )


def base_fingerprint(name: str) -> str:
    """Say which weights a base's name stands for, as far as this machine can tell without loading them."""
    if name == SMOLLM2:
        return smollm2_fingerprint()
    folder = Path(name)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(folder.glob("*")):
            if path.suffix in {".safetensors", ".bin", ".json", ".model", ".txt"} and path.name != MANIFEST:
                digest.update(path.name.encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 22):
                        digest.update(block)
        return digest.hexdigest()[:16]
    return name


def save_student(folder: Path, model: PreTrainedModel, encoder: Encoder, *, name: str, base: str) -> None:
    """Write a student as a plain Hugging Face folder with a README; its manifest is the stage's, and last.

    Raises UserError where the disk is full.
    """
    model.config.eos_token_id = encoder.terminator
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=encoder.terminator, pad_token_id=encoder.terminator, max_new_tokens=256
    )
    _remove(folder, "adapter_*")
    with _room_in(folder):
        model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
    write_whole(folder / "README.md", _README.format(name=name, base=base, version=PROMPT_VERSION) + _PLAIN)


def save_adapter(folder: Path, adapted: Any, encoder: Encoder, *, name: str, base: str, source: str) -> dict[str, str]:
    """Write a student trained with LoRA as a PEFT folder: its adapter and the name of its base, not the base.

    `source` is what the base was loaded by. Returns what the manifest must say of the base as `base`.
    """
    fingerprint, source = base_fingerprint(source), base_source(source)
    _remove(folder, "model*", "config.json", "generation_config.json", "README.md")
    with _room_in(folder):
        write_adapter(folder, adapted, base=str(Path(source).resolve()) if Path(source).is_dir() else source)
        encoder.tokenizer.save_pretrained(folder)
    write_whole(folder / "README.md", _README.format(name=name, base=base, version=PROMPT_VERSION) + _ADAPTER)
    return {"name": base, "fingerprint": fingerprint}


def weights_fingerprint(folder: Path, *, base: Mapping[str, str] | None = None) -> str:
    """Return a saved student's weights in 16 digits; those of an adapter with what `save_adapter` said of its base."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if base is not None:
        digest.update(base["fingerprint"].encode())
    return digest.hexdigest()[:16]


def _remove(folder: Path, *patterns: str) -> None:
    """Remove files of the other kind of student, which would be loaded in place of this one."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors and tokenizers each raise their own for a full disk
        raise UserError(f"can't write {folder}: {_first_line(error)}; make room and run it again") from error


_README = """\
# {name}

A `{name}` student made by socratic-distill from `{base}`, prompt format {version}. `manifest.json` says how.

    from socratic_distill import Prompt, Sampling, TransformersEngine, load_student
    engine = TransformersEngine(load_student("this folder"))
    engine.submit("1", Prompt(pieces=("A pen costs $2. How much do 3 pens cost?",)), Sampling())
    print(engine.poll())

"""
_PLAIN = """\
It also loads by `AutoModelForCausalLM.from_pretrained`: end every piece of the prompt with the tokenizer's end token.
"""
_ADAPTER = """\
It is a LoRA adapter: `adapter_config.json` names its base, which must be there. It also loads by
`peft.AutoPeftModelForCausalLM.from_pretrained`, and a vLLM server of its base takes it by `--lora-modules`: end every
piece of the prompt with the tokenizer's end token. `socratic merge` makes a plain model folder of it.
"""


def load_student(folder: Path | str, *, dtype: torch.dtype | None = None, bases: Bases | None = None) -> LoadedStudent:
    """Load a saved student. Those that are adapters share a base with the others loaded by the same `bases`.

    Raises UserError where the folder is absent, half written, or of another prompt version, and where an adapter's
    base is not the one that it was trained on.
    """
    folder, dtype = Path(folder), dtype or compute_dtype()
    manifest = read_student_manifest(folder)
    version = manifest.get("settings", {}).get("prompt_version")
    if version != PROMPT_VERSION:
        raise UserError(
            f"{folder} was trained on prompt version {version}, this is version {PROMPT_VERSION}; train it again"
        )
    if is_adapter(folder):
        return _load_adapter(folder, manifest, dtype, {} if bases is None else bases)
    with _damage_told(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return ready(model, tokenizer)


def _load_adapter(folder: Path, manifest: Mapping[str, Any], dtype: torch.dtype, bases: Bases) -> LoadedStudent:
    source = base_of(folder, manifest)
    # Put back once the adapter is whole: one that is half loaded would be in the way of all that come later.
    shared = bases.pop((source, dtype), None) or SharedBase(load_base(source, dtype=dtype)[0])
    with _damage_told(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        adapter = shared.add(folder)
    bases[source, dtype] = shared
    return replace(ready(shared.model, tokenizer), shared=shared, adapter=adapter)


def base_of(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return where the base of an adapter is. Raises UserError where it is gone, or has other weights by now."""
    with _damage_told(folder):
        name, fingerprint = str(manifest["base"]["name"]), str(manifest["base"]["fingerprint"])
        # A run's own base moves with the run, whatever path was written.
        places = [name] if name == SMOLLM2 else [str(folder.resolve().parent.parent / "base"), written_base(folder)]
    for place in places:
        if base_fingerprint(place) == fingerprint:
            return place
    raise UserError(
        f"{folder} is an adapter of {name}, which is not there as it was ({fingerprint}); bring that base back, "
        f"name it in {folder / ADAPTER_CONFIG}, or train again"
    )


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors, json and transformers each raise their own for a damaged file
        raise UserError(
            f"the student in {folder} is damaged ({_first_line(error)}); remove it and train it again"
        ) from error


def ready(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, chat: bool = False) -> LoadedStudent:
    """Make a model ready to write; `chat` lets it read prompts by its tokenizer's chat template, if that has one."""
    plain = Encoder(tokenizer)
    encoder = ChatEncoder(plain) if chat and tokenizer.chat_template else plain
    return LoadedStudent(model.to(device()).eval(), encoder, context_length(model))  # type: ignore[arg-type]  # transformers types `to` as a decorated function


def read_student_manifest(folder: Path) -> dict[str, Any]:
    """Read what a saved student says of itself. Raises UserError where it is absent or half written."""
    if not folder.is_dir():
        raise UserError(f"no student at {folder}; run `socratic train` first")
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"the student in {folder} is half written: it has no {MANIFEST}; run `socratic train` again")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({_first_line(error)}); remove {folder} and train it again") from error
    return manifest
