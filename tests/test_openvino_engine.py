"""What the openvino engine does beyond the contract: conversion, precisions, who joins when, and what is given back."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted import PAIR, save_pair
from completing import GREEDY, ask, complete, one, strangers
from conftest import KNOWN
from converted import converted, need_openvino, openvino_engine, saved
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from socratic_distill.engines.casting import OPENVINO_TYPES
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.records import Prompt, Sampling
from socratic_distill.students import LoadedStudent, load_student, ready

pytestmark = pytest.mark.usefixtures("single_thread", "_openvino")

TinyStudent = Callable[[str], LoadedStudent]


@pytest.fixture(scope="module")
def _openvino() -> None:
    need_openvino()


def capabilities() -> list[str]:
    import openvino

    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def stranger(kind: str, tokenizer: PreTrainedTokenizerBase, **changed: Any) -> LoadedStudent:
    """Make an untrained student of some type, with weights large enough that every part of it matters."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        **changed,
    }
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96}
    if kind == "gemma":
        sizes["head_dim"] = 8
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **sizes)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return ready(model, tokenizer)


@pytest.mark.parametrize("kind", OPENVINO_TYPES)
def test_every_type_that_is_taken_writes_what_transformers_writes(
    kind: str, tiny_tokenizer: Callable[[str], PreTrainedTokenizerBase], known: dict[str, str]
) -> None:
    student = stranger(kind, tiny_tokenizer("byte_level"))
    requests = [(prompt, Sampling(max_tokens=24)) for prompt in strangers(known)]
    expected = complete(TransformersEngine(student), *requests)
    assert complete(openvino_engine(student), *requests) == expected
    assert len({completion.text for completion in expected}) > 2


def test_a_student_is_converted_once_for_each_precision(
    tiny_student: TinyStudent, tmp_path: Path, known: dict[str, str]
) -> None:
    from socratic_distill.engines.conversion import convert

    folder = str(saved(tiny_student("llama"), tmp_path / "student"))
    said: list[str] = []
    made = [
        convert(folder, precision, cache=tmp_path / "cache", say=said.append)
        for precision in ("fp32", "int8", "fp32", "int8")
    ]
    assert len(said) == len({one.folder for one in made}) == len(list((tmp_path / "cache").iterdir())) == 2
    sizes = [(one.folder / "openvino_model.bin").stat().st_size for one in made[:2]]
    assert sizes[1] < 0.4 * sizes[0]


def test_other_weights_are_converted_anew_and_what_was_long_not_used_goes(
    tiny_student: TinyStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from socratic_distill.engines import conversion

    monkeypatch.setattr(conversion, "KEPT", 2)
    cache = tmp_path / "cache"
    first, second = (str(saved(tiny_student(kind), tmp_path / kind)) for kind in ("llama", "llama_sentencepiece"))
    old, newer = (conversion.convert(first, precision, cache=cache).folder for precision in ("fp32", "int8"))
    os.utime(old, (1, 1))
    os.utime(newer, (2, 2))
    conversion.convert(first, "fp32", cache=cache)  # used again
    other = conversion.convert(second, "fp32", cache=cache).folder
    assert {path.name for path in cache.iterdir()} == {old.name, other.name}


def test_a_conversion_that_was_cut_short_is_done_again(tiny_student: TinyStudent, tmp_path: Path) -> None:
    from socratic_distill.engines.conversion import convert

    folder = str(saved(tiny_student("llama"), tmp_path / "student"))
    whole = convert(folder, "fp32", cache=tmp_path / "cache").folder
    whole.rename(whole.with_name(f"{whole.name}.1.partial"))  # as a kill would leave it
    assert (convert(folder, "fp32", cache=tmp_path / "cache").folder / "openvino_model.xml").is_file()


def test_adapters_are_added_to_their_base(tiny_student: TinyStudent, tmp_path: Path) -> None:
    from socratic_distill.engines.conversion import convert
    from socratic_distill.engines.openvino import OpenVINOEngine

    save_pair(tmp_path, tiny_student("llama"))
    for name in PAIR:
        folder = tmp_path / "students" / name
        engine = OpenVINOEngine(convert(str(folder), "fp32", cache=tmp_path / "cache"), threads=1)
        expected = TransformersEngine(load_student(folder, dtype=torch.float32))
        for question in KNOWN:
            assert one(engine, ask(question)) == one(expected, ask(question))


def test_a_student_that_openvino_can_not_take_is_refused_in_one_line(
    tiny_tokenizer: Callable[[str], PreTrainedTokenizerBase], tmp_path: Path
) -> None:
    from socratic_distill.engines.conversion import convert

    student = stranger("bloom", tiny_tokenizer("byte_level"))
    with pytest.raises(UserError, match="can't take a bloom student") as told:
        convert(str(saved(student, tmp_path / "bloom")), "fp32", cache=tmp_path / "cache")
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "cache").glob("*"))


def test_what_openvino_fails_with_is_told_in_one_line(tiny_student: TinyStudent, tmp_path: Path) -> None:
    from socratic_distill.engines.openvino import OpenVINOEngine

    whole = converted(tiny_student("llama"))
    damaged = shutil.copytree(whole.folder, tmp_path / "damaged")
    (damaged / "openvino_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"OpenVINO failed \(.+\); what is solved is kept") as told:
        OpenVINOEngine(replace(whole, folder=damaged))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_narrow_precisions_still_know_what_was_learned(
    precision: str, tiny_student: TinyStudent, known: dict[str, str]
) -> None:
    if precision == "bf16" and "BF16" not in capabilities():
        pytest.skip("this processor has no bf16")
    engine = openvino_engine(tiny_student("llama"), precision)
    completions = complete(engine, *((ask(question), GREEDY) for question in known))
    assert [completion.text for completion in completions] == list(known.values())


def test_what_a_precision_means_is_said(tiny_student: TinyStudent) -> None:
    arithmetic = "bf16" if "BF16" in capabilities() else "f32"
    for precision, weights, computed, cached in (("int8", "i8", arithmetic, "u8"), ("fp32", "f32", "f32", "f32")):
        assert converted(tiny_student("llama"), precision).precision == type(
            converted(tiny_student("llama"), precision).precision
        )(weights, computed, cached)


def test_writing_ends_where_the_context_does_while_others_go_on(
    tiny_student: TinyStudent, known: dict[str, str]
) -> None:
    student = tiny_student("llama")
    question, text = [*known.items()][1]
    [fits, *_] = [
        prompt for count in range(1, 96) if len(student.encode(prompt := Prompt(pieces=("1" * count, question)))) == 95
    ]
    last, other = complete(openvino_engine(student), (fits, GREEDY), (ask(question), GREEDY))
    assert (last.prompt_tokens, last.tokens) == (95, 1)
    assert (other.text, other.finish_reason) == (text, "end")


def test_memory_does_not_grow_over_many_requests(tiny_student: TinyStudent, known: dict[str, str]) -> None:
    from socratic_distill.engines.openvino import OpenVINOEngine

    engine = OpenVINOEngine(converted(tiny_student("llama")), threads=1, cache_bytes=1 << 20)
    stop = GREEDY.model_copy(update={"stop": (">>",)})

    def answer(rounds: range) -> int:
        for number in rounds:
            complete(engine, *((ask(f"{number} {place} {question}"), stop) for place, question in enumerate(known)))
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    first = answer(range(100))
    last = answer(range(100, 500))
    assert last - first < 4e6  # 1200 requests


def test_a_pipeline_that_is_made_anew_loses_no_request_and_changes_no_text(
    tiny_student: TinyStudent, known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socratic_distill.engines.openvino.RENEWED_AFTER", 4)
    engine = openvino_engine(tiny_student("llama"))
    questions = [*known] * 4
    ended: dict[str, str] = {}
    for number, question in enumerate(questions):  # each joins while others run
        engine.submit(str(number), ask(question), GREEDY)
        ended |= {key: completion.text for key, completion in engine.poll(0.0)}
    while len(ended) < len(questions):
        ended |= {key: completion.text for key, completion in engine.poll()}
    assert ended == {str(number): known[question] for number, question in enumerate(questions)}


def test_what_still_runs_when_work_stops_is_given_up(tiny_student: TinyStudent, known: dict[str, str]) -> None:
    question = next(iter(known))
    engine = openvino_engine(tiny_student("llama"))
    with pytest.raises(KeyboardInterrupt), engine:
        engine.submit("running", ask(question), GREEDY)
        engine.poll(0.0)
        raise KeyboardInterrupt
    assert engine.poll() == []


def test_importing_it_sends_nothing_and_writes_nothing_into_the_home(tmp_path: Path) -> None:
    code = "import sys, socratic_distill.engines.openvino; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "None", done.stderr
    assert not (tmp_path / "intel").exists()
