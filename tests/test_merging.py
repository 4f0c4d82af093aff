"""Merging: a plain folder with the adapter added to its base's weights, or one line that says why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapted import PAIR, logits, save_adapted, save_pair
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from socratic_distill.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter
from socratic_distill.app.command_line import main
from socratic_distill.errors import UserError
from socratic_distill.merging import merge, merge_all
from socratic_distill.records import Prompt
from socratic_distill.students import MANIFEST, LoadedStudent, load_base, load_student, weights_fingerprint

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_student: Callable[[str], LoadedStudent]) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    save_pair(run, tiny_student("llama"))
    return run


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be changed; that which its adapters name as their base is not there any more."""
    copy = shutil.copytree(original, tmp_path / "tiny")
    for path in copy.glob(f"students/*/{ADAPTER_CONFIG}"):
        path.write_text(path.read_text(encoding="utf-8").replace(str(original), str(tmp_path / "gone")))
    return copy


def refusal(students: Path, out: Path) -> str:
    """Merge what can't be merged; return the one line that says so, and check that nothing was written."""
    before = sorted(out.parent.glob("**/*"))
    with pytest.raises(UserError) as refused:
        list(merge_all(students, out))
    assert "\n" not in str(refused.value)
    assert sorted(out.parent.glob("**/*")) == before
    return str(refused.value)


def test_a_merged_student_is_a_plain_folder_that_gives_the_same_logits(
    run: Path, tmp_path: Path, known: dict[str, str]
) -> None:
    folder, out, text = run / "students" / "solver", tmp_path / "deep" / "solver.v2", next(iter(known))
    merge(folder, out)
    assert not is_adapter(out)
    assert [path.name for path in out.glob("*.safetensors")] == ["model.safetensors"]
    assert [path.name for path in out.parent.iterdir()] == ["solver.v2"], "nothing is left beside it"
    merged, adapted = (load_student(one, dtype=torch.float32) for one in (out, folder))
    assert merged.shared is None
    assert torch.allclose(logits(merged, text), logits(adapted, text), atol=1e-4)
    prompt = Prompt(pieces=(*known, "a <s> <|end|>"), begun=" 3 pens")
    assert merged.encode(prompt) == adapted.encode(prompt)
    plain = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    assert torch.equal(plain.lm_head.weight, merged.model.lm_head.weight)
    assert "solver" in (out / "README.md").read_text(encoding="utf-8")


def test_a_merged_student_says_what_it_was_merged_from(run: Path, tmp_path: Path) -> None:
    folder, out = run / "students" / "solver", tmp_path / "solver"
    merge(folder, out)
    before, after = (json.loads((one / MANIFEST).read_text(encoding="utf-8")) for one in (folder, out))
    assert after["merged_from"] == str(folder)
    assert after["inputs"] == {"student": before["weights"], "base": before["base"]["fingerprint"]}
    assert (after["student"], after["dtype"], after["settings"]) == ("solver", "float32", before["settings"])
    assert after["weights"] == weights_fingerprint(out) != before["weights"]
    assert "base" not in after, "it needs none"


def test_weights_are_added_in_fp32_and_saved_in_the_bases_type(run: Path, tmp_path: Path) -> None:
    base, narrow = run / "base", tmp_path / "narrow"
    model, tokenizer = load_base(str(base), dtype=torch.bfloat16)
    model.save_pretrained(narrow)
    tokenizer.save_pretrained(narrow)
    shutil.rmtree(base)  # so that the base is the narrow one that the adapter names
    folder = save_adapted(tmp_path / "run" / "students" / "solver", narrow, seed=0, dtype=torch.bfloat16)
    merge(folder, tmp_path / "out")
    before, adapter, after = (
        load_file(path)
        for path in (narrow / "model.safetensors", folder / ADAPTER_WEIGHTS, tmp_path / "out" / "model.safetensors")
    )
    assert {weight.dtype for weight in (*before.values(), *adapter.values(), *after.values())} == {torch.bfloat16}
    changed = 0
    for name, weight in after.items():
        place = f"base_model.model.{name.removesuffix('.weight')}"
        expected = before[name].float()
        if f"{place}.lora_A.weight" in adapter:
            into, out_of = (adapter[f"{place}.lora_{side}.weight"].float() for side in "AB")
            expected = expected + (out_of @ into) * 2
            changed += 1
        assert torch.equal(weight, expected.to(torch.bfloat16)), name
    assert changed == 2 * 7


@pytest.mark.parametrize("named", ["", "students"])
def test_all_students_of_a_run_are_merged_into_folders_of_their_names(run: Path, tmp_path: Path, named: str) -> None:
    out = tmp_path / "out"
    assert list(merge_all(run / named, out)) == [(run / "students" / name, out / name) for name in PAIR]
    assert sorted(path.name for path in out.iterdir()) == list(PAIR)
    for name in PAIR:
        load_student(out / name)


def test_what_can_not_be_merged_is_told_in_a_line_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    merge(run / "students" / "solver", tmp_path / "plain" / "solver")
    out = tmp_path / "out" / "merged"
    out.parent.mkdir()
    assert "plain model folder already" in refusal(tmp_path / "plain" / "solver", out)
    assert "exists" in refusal(run / "students" / "solver", tmp_path / "plain" / "solver")
    shutil.copytree(tmp_path / "plain" / "solver", run / "students" / "unified")
    assert "unified is no adapter" in refusal(run, out)
    shutil.rmtree(run / "students" / "unified")
    (run / "students" / "solver" / MANIFEST).unlink()
    assert "half written" in refusal(run, out)
    assert "half written" in refusal(run / "students" / "solver", out)
    shutil.rmtree(run / "students" / "solver")
    (run / "base" / "config.json").unlink()
    assert "not there as it was" in refusal(run, out)
    shutil.rmtree(run / "students" / "decomposer")
    for nothing in (run, run / "students", tmp_path / "absent"):
        assert "no students in" in refusal(nothing, out)


def test_a_merge_that_fails_half_way_leaves_nothing(run: Path, tmp_path: Path) -> None:
    weights = run / "students" / "solver" / ADAPTER_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "out").mkdir()
    assert "damaged" in refusal(run / "students" / "solver", tmp_path / "out" / "solver")
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "can't write" in refusal(run / "students" / "decomposer", tmp_path / "file" / "solver")


def test_the_command_merges_and_says_so(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["merge", str(run), str(out)]) == 0
    said = "".join(capfd.readouterr().out.split())
    assert all(f"merged{run}/students/{name}into{out}/{name}" in said for name in PAIR)
    assert main(["merge", str(run), str(out)]) == 1
    error = capfd.readouterr().err
    assert error.startswith("socratic: ") and "exists; remove it" in error and error.count("\n") == 1
