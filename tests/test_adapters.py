"""Adapters: saved as PEFT saves them, loaded beside each other into one base, and each writes as if it were alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapted import PAIR, logits, save_adapted, save_pair, written
from fakes import make_model
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file

from socratic_distill.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter, put_lora
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.merging import merge
from socratic_distill.recipe import Lora
from socratic_distill.records import Prompt
from socratic_distill.students import (
    Bases,
    Encoder,
    LoadedStudent,
    load_base,
    load_student,
    load_tokenizer,
    ready,
    save_adapter,
    save_student,
    weights_fingerprint,
)

pytestmark = pytest.mark.usefixtures("single_thread")

Tiny = Callable[[str], LoadedStudent]
KINDS = ["gpt2", "llama", "llama_sentencepiece"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_student: Tiny) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    save_pair(run, tiny_student("llama"))
    return run


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be damaged; that which its adapters name as their base is not there any more."""
    copy = shutil.copytree(original, tmp_path / "tiny")
    for name in PAIR:
        change(copy / "students" / name, base_model_name_or_path=str(tmp_path / "gone"))
    return copy


def change(folder: Path, **settings: object) -> None:
    path = folder / ADAPTER_CONFIG
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")


def refusal(folder: Path) -> str:
    """Load a student that can't be loaded; return the one line that says so."""
    with pytest.raises(UserError) as refused:
        load_student(folder, dtype=torch.float32)
    text = str(refused.value)
    assert "\n" not in text and str(folder) in text
    return text


# --- one base, two adapters


def test_the_weights_of_the_base_are_in_memory_once(original: Path) -> None:
    bases: Bases = {}
    one, other = (load_student(original / "students" / name, dtype=torch.float32, bases=bases) for name in PAIR)
    [shared] = bases.values()
    assert one.model is other.model is shared.model
    weights = dict(shared.model.named_parameters())
    own = {name: weight for name, weight in weights.items() if "lora_" not in name}
    alone, _ = load_base(str(original / "base"), dtype=torch.float32)
    assert len({weight.data_ptr() for weight in own.values()}) == len(list(alone.parameters()))
    assert sum(weight.numel() for weight in own.values()) == alone.num_parameters()
    added = sum(weight.numel() for name, weight in weights.items() if "lora_" in name)
    assert added == 2 * sum(
        weight.numel() for weight in load_file(original / "students" / "solver" / ADAPTER_WEIGHTS).values()
    )
    assert not any(weight.requires_grad for weight in weights.values())


def test_without_bases_to_share_a_student_has_a_base_of_its_own(original: Path) -> None:
    one, other = (load_student(original / "students" / name, dtype=torch.float32) for name in PAIR)
    assert one.model is not other.model


def test_students_of_other_number_types_have_bases_of_their_own(original: Path) -> None:
    bases: Bases = {}
    folder = original / "students" / "solver"
    wide, narrow = (load_student(folder, dtype=dtype, bases=bases) for dtype in (torch.float32, torch.bfloat16))
    assert wide.model is not narrow.model and len(bases) == 2
    for student, dtype in ((wide, torch.float32), (narrow, torch.bfloat16)):
        assert {weight.dtype for weight in student.model.parameters()} == {dtype}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_that_take_turns_at_every_step_write_what_each_merged_student_writes_alone(
    kind: str, tiny_student: Tiny, tmp_path: Path, known: dict[str, str]
) -> None:
    folders = save_pair(tmp_path / "tiny", tiny_student(kind))
    alone = []
    for folder in folders:
        merge(folder, tmp_path / folder.name)
        [completions] = written(
            [TransformersEngine(load_student(tmp_path / folder.name, dtype=torch.float32))], [*known]
        )
        alone.append(completions)
    bases: Bases = {}
    engines = [TransformersEngine(load_student(folder, dtype=torch.float32, bases=bases)) for folder in folders]
    assert written(engines, [*known]) == alone
    plain = ready(*load_base(str(tmp_path / "tiny" / "base"), dtype=torch.float32))
    [untaught] = written([TransformersEngine(plain)], [*known])
    assert untaught != alone[0] != alone[1] != untaught, "an adapter that changes nothing would pass"


def test_a_student_gives_the_same_logits_whoever_was_active_before(original: Path, known: dict[str, str]) -> None:
    bases: Bases = {}
    text = next(iter(known))
    one = load_student(original / "students" / PAIR[0], dtype=torch.float32, bases=bases)
    before = logits(one, text)
    other = load_student(original / "students" / PAIR[1], dtype=torch.float32, bases=bases)
    assert torch.equal(logits(one, text), before)
    assert (logits(other, text) - before).abs().max() > 0.1
    assert torch.equal(logits(one, text), before)


# --- the folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_adapter_is_a_plain_peft_folder(
    kind: str, tiny_student: Tiny, tmp_path: Path, known: dict[str, str]
) -> None:
    [folder, _] = save_pair(tmp_path / "tiny", tiny_student(kind))
    student, text = load_student(folder, dtype=torch.float32), next(iter(known))
    model = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        found = model(input_ids=torch.tensor([student.encode(Prompt(pieces=(text,)))])).logits[0]
    assert torch.allclose(found, logits(student, text), atol=1e-4)
    prompt = Prompt(pieces=(*known, "a <s> <|end|> <|endoftext|>"), begun=" 3 pens")
    assert Encoder(load_tokenizer(str(folder))).encode(prompt) == tiny_student(kind).encode(prompt)


def test_a_saved_adapter_has_what_servers_read(original: Path) -> None:
    folder = original / "students" / "solver"
    settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"], settings["bias"]) == ("LORA", 4, 8, "none")
    assert not settings["modules_to_save"] and not settings["use_dora"]
    assert settings["target_modules"] == sorted(settings["target_modules"])
    assert settings["base_model_name_or_path"] == str(original / "base")
    for name in load_file(folder / ADAPTER_WEIGHTS):
        assert name.startswith("base_model.model.model.layers.")
        assert name.endswith(("_proj.lora_A.weight", "_proj.lora_B.weight"))
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".md", ".jinja"}
    assert "LoRA adapter" in (folder / "README.md").read_text(encoding="utf-8")


def test_one_kind_of_student_saved_over_the_other_leaves_nothing_of_it(run: Path) -> None:
    folder, base = run / "students" / "solver", run / "base"
    model, tokenizer = load_base(str(base), dtype=torch.float32)
    save_student(folder, model, Encoder(tokenizer), name="solver", base="scratch")
    assert not is_adapter(folder)
    assert torch.equal(load_student(folder, dtype=torch.float32).model.lm_head.weight, model.lm_head.weight)
    adapted = put_lora(model, Lora(rank=2))
    save_adapter(folder, adapted, Encoder(tokenizer), name="solver", base="scratch", source=str(base))
    assert is_adapter(folder)
    assert [path.name for path in folder.glob("*.safetensors")] == [ADAPTER_WEIGHTS]
    assert not (folder / "config.json").exists()


def test_an_adapters_weights_are_told_apart_by_their_base_too(original: Path) -> None:
    folder = original / "students" / "solver"
    prints = {
        weights_fingerprint(original / "students" / name, base={"fingerprint": base}) for name in PAIR for base in "ab"
    }
    assert len(prints) == 4
    assert weights_fingerprint(folder, base={"fingerprint": "a"}) in prints


# --- its base


def test_a_run_that_was_moved_has_its_base_with_it(run: Path, original: Path, known: dict[str, str]) -> None:
    text = next(iter(known))
    moved, there = (
        load_student(folder / "students" / "solver", dtype=torch.float32) for folder in (run, original)
    )  # fmt: skip
    assert torch.equal(logits(moved, text), logits(there, text))


def test_an_adapter_that_was_moved_finds_its_base_where_it_was(original: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(original / "students" / "solver", tmp_path / "elsewhere" / "solver")
    assert load_student(folder, dtype=torch.float32).adapter


def test_an_adapter_without_its_base_is_refused(run: Path) -> None:
    (run / "base").rename(run / "hidden")
    line = refusal(run / "students" / "solver")
    assert "is an adapter of scratch" in line and ADAPTER_CONFIG in line
    change(run / "students" / "solver", base_model_name_or_path=str(run / "hidden"))
    assert load_student(run / "students" / "solver", dtype=torch.float32).adapter


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_adapter_is_not_put_on_a_base_that_has_changed(run: Path, name: str) -> None:
    content = (run / "base" / name).read_bytes()
    (run / "base" / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "which is not there as it was" in refusal(run / "students" / "solver")


def test_an_adapter_is_no_base(run: Path) -> None:
    folder = run / "students" / "solver"
    with pytest.raises(UserError, match=f"run: socratic merge {folder} OUT"):
        load_base(str(folder), dtype=torch.float32)


# --- damage


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_damaged_adapter_weights_are_refused(run: Path, kept: int) -> None:
    weights = run / "students" / "solver" / ADAPTER_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:kept])
    assert "damaged" in refusal(run / "students" / "solver")


@pytest.mark.parametrize("name", [ADAPTER_WEIGHTS, "tokenizer.json"])
def test_an_adapter_that_lacks_a_file_is_refused(run: Path, name: str) -> None:
    (run / "students" / "solver" / name).unlink()
    assert "damaged" in refusal(run / "students" / "solver")


def test_an_adapter_that_lacks_a_matrix_or_has_one_too_many_is_refused(run: Path) -> None:
    folder = run / "students" / "solver"
    weights = load_file(folder / ADAPTER_WEIGHTS)
    name, matrix = weights.popitem()
    save_file(weights, folder / ADAPTER_WEIGHTS)
    assert "damaged" in refusal(folder)
    save_file(weights | {name: matrix, name.replace("layers.", "layers.9"): matrix.clone()}, folder / ADAPTER_WEIGHTS)
    assert "damaged" in refusal(folder)


@pytest.mark.parametrize("settings", [{"r": 5}, {"r": "four"}, {"target_modules": ["nowhere"]}, {"lora_alpha": None}])
def test_an_adapter_whose_settings_do_not_fit_is_refused(run: Path, settings: dict[str, object]) -> None:
    change(run / "students" / "solver", **settings)
    assert "damaged" in refusal(run / "students" / "solver")


def test_adapter_settings_that_are_no_json_are_refused(run: Path) -> None:
    (run / "students" / "solver" / ADAPTER_CONFIG).write_text('{"r": 4', encoding="utf-8")
    assert "damaged" in refusal(run / "students" / "solver")


def test_a_manifest_that_names_no_base_is_refused(run: Path) -> None:
    path = run / "students" / "solver" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["base"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert "damaged" in refusal(path.parent)


def test_a_damaged_adapter_leaves_the_others_as_they_were(run: Path, known: dict[str, str]) -> None:
    bases: Bases = {}
    one = load_student(run / "students" / PAIR[0], dtype=torch.float32, bases=bases)
    before = logits(one, next(iter(known)))
    change(run / "students" / PAIR[1], r=5)
    with pytest.raises(UserError, match="damaged"):
        load_student(run / "students" / PAIR[1], dtype=torch.float32, bases=bases)
    assert torch.equal(logits(one, next(iter(known))), before)
    save_adapted(run / "students" / PAIR[1], run / "base", seed=3)
    other = load_student(run / "students" / PAIR[1], dtype=torch.float32, bases=bases)
    assert (logits(other, next(iter(known))) - before).abs().max() > 0.1


# --- targets


def test_only_the_adapter_learns() -> None:
    adapted = put_lora(make_model("llama"), Lora(rank=2, targets=("q_proj", "v_proj")))
    learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(learning) == 2 * 2 * 2
    assert all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in learning)


def test_targets_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match=r"^train\.lora\.targets: .*nowhere"):
        put_lora(make_model("llama"), Lora(targets=("nowhere",)))


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_a_matrix_that_is_embedding_and_head_at_once_is_no_target(target: str) -> None:
    with pytest.raises(UserError, match=r"train\.lora\.targets: .* one matrix"):
        put_lora(make_model("llama", tie_word_embeddings=True), Lora(rank=2, targets=(target,)))
    put_lora(make_model("llama", tie_word_embeddings=False), Lora(rank=2, targets=(target,)))
