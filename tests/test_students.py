"""Students: their encoder, and that a saved one is a plain model folder that loads or says in a line why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from socratic_distill.errors import UserError
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.records import Prompt
from socratic_distill.students import (
    MANIFEST,
    Encoder,
    LoadedStudent,
    base_fingerprint,
    load_base,
    load_student,
    load_tokenizer,
    save_student,
)

pytestmark = pytest.mark.usefixtures("single_thread")

TinyTokenizer = Callable[[str], PreTrainedTokenizerBase]
TOKENIZERS = ["byte_level", "gpt2", "sentencepiece"]
STUDENTS = ["gpt2", "llama", "llama_sentencepiece"]


# --- the encoder


@pytest.fixture(params=TOKENIZERS)
def encoder(request: pytest.FixtureRequest, tiny_tokenizer: TinyTokenizer) -> Encoder:
    return Encoder(tiny_tokenizer(request.param))


def test_a_prompt_is_its_start_and_its_pieces_one_after_the_other(encoder: Encoder) -> None:
    pieces = ("A pen costs $2.", " two  spaces ", "", "3*2 = <<3*2=6>>6\n#### 6", "naïve ½ 笔")
    ids = encoder.encode(Prompt(pieces=pieces))
    assert ids == encoder.start() + [token for piece in pieces for token in encoder.piece(piece)]
    assert ids.count(encoder.terminator) == len(pieces)


def test_a_longer_prompt_begins_with_the_shorter_one(encoder: Encoder) -> None:
    pieces = ("A pen costs $2.", "How many pens?", "3 pens", "Why?")
    shorter = [encoder.encode(Prompt(pieces=pieces[:count])) for count in range(5)]
    for ids in shorter:
        assert shorter[-1][: len(ids)] == ids


def test_what_is_begun_follows_without_a_terminator(encoder: Encoder) -> None:
    whole = encoder.encode(Prompt(pieces=("How many?", "3 pens")))
    assert encoder.encode(Prompt(pieces=("How many?",), begun="3 pens")) == whole[:-1]


def test_only_a_tokenizer_that_puts_a_start_before_every_text_gets_one(tiny_tokenizer: TinyTokenizer) -> None:
    starts = {kind: Encoder(tiny_tokenizer(kind)).start() for kind in TOKENIZERS}
    sentencepiece = tiny_tokenizer("sentencepiece")
    assert starts == {"byte_level": [], "gpt2": [], "sentencepiece": [sentencepiece.bos_token_id]}


def test_text_that_spells_special_tokens_is_read_as_plain_text(encoder: Encoder) -> None:
    special = set(encoder.tokenizer.all_special_ids)
    for spelled in encoder.tokenizer.all_special_tokens:
        for text in (str(spelled), f"a {spelled} b", f"{spelled}{spelled}"):
            *ids, terminator = encoder.piece(text)
            assert not special & set(ids)
            assert terminator == encoder.terminator
            assert encoder.decode(ids) == text
            assert encoder.decode([*ids, terminator]) == text, "the terminator is left out"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_any_text_is_decoded_as_it_was_encoded(kind: str, tiny_tokenizer: TinyTokenizer) -> None:
    encoder = Encoder(tiny_tokenizer(kind))

    @settings(max_examples=60)
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=20))
    def check(text: str) -> None:
        # A tokenizer of the SentencePiece kind drops a leading space, which engines know of.
        text = text.lstrip(" ") if kind == "sentencepiece" else text
        assert encoder.decode(encoder.piece(text)) == text

    check()


def test_a_tokenizer_without_an_end_token_is_refused(tiny_tokenizer: TinyTokenizer, tmp_path: Path) -> None:
    tiny_tokenizer("gpt2").save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="has no end-of-sequence token"):
        Encoder(tokenizer)


# --- saved students


def save(folder: Path, student: LoadedStudent) -> Path:
    """Save a student as training does, its manifest last."""
    save_student(folder, student.model, student.encoder, name="solver", base="tiny")
    write_manifest(folder, PROMPT_VERSION)
    return folder


def write_manifest(folder: Path, version: str) -> None:
    (folder / MANIFEST).write_text(json.dumps({"settings": {"prompt_version": version}}), encoding="utf-8")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_student: Callable[[str], LoadedStudent]) -> Path:
    return save(tmp_path_factory.mktemp("students") / "solver", tiny_student("gpt2"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of a saved student, to be damaged."""
    return shutil.copytree(original, tmp_path / "solver")


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_saved_student_loads_with_the_same_weights_and_the_same_ids(
    kind: str, tiny_student: Callable[[str], LoadedStudent], tmp_path: Path, known: dict[str, str]
) -> None:
    student = tiny_student(kind)
    folder = save(tmp_path / "solver", student)
    loaded = load_student(folder, dtype=torch.float32)
    weights, again = student.model.state_dict(), loaded.model.state_dict()
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    prompt = Prompt(pieces=(*known, "a <s> <|end|> <|endoftext|>"), begun=" 3 pens")
    assert loaded.encode(prompt) == student.encode(prompt)
    assert (loaded.terminator, loaded.context) == (student.terminator, 96)
    assert loaded.model.training is False


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_saved_student_is_a_plain_folder_that_generates_up_to_its_terminator(
    kind: str, tiny_student: Callable[[str], LoadedStudent], tmp_path: Path, known: dict[str, str]
) -> None:
    folder = save(tmp_path / "solver", tiny_student(kind))
    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # the types of `generate` refuse its own class
    tokenizer = AutoTokenizer.from_pretrained(folder)
    question, text = next(iter(known.items()))
    ids = torch.tensor([[*tokenizer(question).input_ids, tokenizer.eos_token_id]])
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60)[0, ids.shape[1] :]
    assert written[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(written, skip_special_tokens=True) == text
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "solver" in readme and f"prompt format {PROMPT_VERSION}" in readme
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".md", ".jinja"}


def refusal(folder: Path) -> str:
    """Load a student that can't be loaded; return the one line that says so."""
    with pytest.raises(UserError) as refused:
        load_student(folder, dtype=torch.float32)
    text = str(refused.value)
    assert "\n" not in text and str(folder) in text
    return text


def test_an_absent_student_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    assert "no student at" in (line := refusal(tmp_path / "solver")) and "socratic train" in line


def test_a_half_written_student_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert "half written" in refusal(folder)


def test_a_student_of_another_prompt_version_is_refused(folder: Path) -> None:
    write_manifest(folder, "0")
    assert f"prompt version 0, this is version {PROMPT_VERSION}" in refusal(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"settings": {', encoding="utf-8")
    assert "damaged" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_damaged_weights_are_refused(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    assert "damaged" in refusal(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_student_that_lacks_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert "damaged" in refusal(folder)


def test_a_damaged_config_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert "damaged" in refusal(folder)


# --- bases


def test_a_saved_student_can_be_a_base_and_dropout_replaces_its_own(folder: Path) -> None:
    model, tokenizer = load_base(str(folder), dtype=torch.float32, dropout=0.25)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
    assert len(load_tokenizer(str(folder))) == len(tokenizer)
    model, _ = load_base(str(folder), dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "a/b/c", "~/absent"])
def test_a_base_that_is_not_there_is_named_in_a_line(name: str, tmp_path: Path) -> None:
    for load in (load_tokenizer, lambda name: load_base(name, dtype=torch.float32)):
        with pytest.raises(UserError, match=f"no model folder '{name}'"):
            load(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a model folder: it has no config\.json"):
        load_base(str(tmp_path), dtype=torch.float32)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_base_is_refused_in_a_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    with pytest.raises(UserError, match="can't load a student") as refused:
        load_base(str(folder), dtype=torch.float32)
    assert "\n" not in str(refused.value)


def test_a_base_whose_package_is_missing_is_refused_in_a_line(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "awq", "bits": 4}})
    )
    with pytest.raises(UserError, match="can't load a student") as refused:
        load_base(str(folder), dtype=torch.float32)
    assert "\n" not in str(refused.value)


def test_a_bases_fingerprint_follows_its_files(folder: Path) -> None:
    before = base_fingerprint(str(folder))
    assert base_fingerprint(str(folder)) == before
    (folder / "README.md").write_text("other words", encoding="utf-8")
    write_manifest(folder, "0")
    assert base_fingerprint(str(folder)) == before, "neither README nor manifest are weights"
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert base_fingerprint(str(folder)) != before
        (folder / name).write_bytes(content)
        assert base_fingerprint(str(folder)) == before
    (folder / "config.json").rename(folder / "other.json")
    assert base_fingerprint(str(folder)) != before


def test_a_hub_name_stands_for_itself() -> None:
    assert base_fingerprint("openai-community/gpt2") == "openai-community/gpt2"
