"""The training loop: it learns, keeps the best, and ends as if it had never been stopped."""

import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fakes import Quiet, forked, kill, learn, made_up, make_model, wait_for
from safetensors.torch import load_file, save_file

from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype
from socratic_distill.training.log import LogLine, read_log
from socratic_distill.training.loss import loss_of, plain_loss
from socratic_distill.training.optimizer import MasterWeights


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: small products gain nothing from more, and wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_eight_sequences_are_learned_by_heart(tmp_path: Path) -> None:
    model = make_model("llama", dtype=torch.float32)
    lessons = made_up([12, 15, 11, 14, 10, 13, 16, 9])
    learn(model, lessons, tmp_path, epochs=120, batch_problems=8, learning_rate=1e-2, weight_decay=0)
    log = [line.loss for line in read_log(tmp_path)]
    assert len(log) == 120
    assert log[0] > 3
    assert log[-1] < 0.05


def test_the_best_weights_are_those_left_in_the_model(tmp_path: Path) -> None:
    model = make_model("llama", dtype=torch.float32)
    lessons, validation = made_up([12] * 8), made_up([12] * 4, seed=9)
    trained = learn(model, lessons, tmp_path, epochs=12, learning_rate=1e-2, validation=validation)
    validated = [line.loss for line in read_log(tmp_path) if line.validation]
    assert trained.best_loss == min(validated)
    assert trained.best_epoch == 1 + validated.index(min(validated)) < 12
    model.eval()
    loss = float(plain_loss(model)(validation).detach()) / sum(len(one.targets) for one in validation)
    assert loss == pytest.approx(min(validated), rel=1e-5)


def test_narrow_weights_hold_no_gradient_while_trained_and_can_again_afterwards() -> None:
    model, lessons = make_model("llama", dtype=torch.bfloat16, tie_word_embeddings=True), made_up([12, 9])
    loss, _ = loss_of(model, lessons[0])
    loss(lessons).backward()
    alone = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    weights = MasterWeights(model, learning_rate=1e-3, weight_decay=0)
    for _ in range(2):
        loss(lessons).backward()
    for name, weight in weights.weights.items():
        assert weight.grad is None
        collected = weights.masters[name].grad
        assert collected is not None and collected.dtype == torch.float32
        assert torch.equal(collected, 2 * alone[name].float()), name
    weights.release()
    loss(lessons).backward()
    assert all(torch.equal(weight.grad, alone[name]) for name, weight in model.named_parameters())


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_learning_rate_that_explodes_is_told_in_one_line(tmp_path: Path, epochs: int) -> None:
    lessons = made_up([10] * 4)
    with pytest.raises(UserError, match=r"student: .* at step \d; lower train\.learning_rate") as told:
        learn(
            make_model("gpt2", dtype=torch.float32), lessons, tmp_path, epochs=epochs, learning_rate=1e36,
            validation=lessons,
        )  # fmt: skip
    assert "\n" not in str(told.value)


def test_another_training_in_the_folder_is_not_gone_on_from(tmp_path: Path) -> None:
    lessons = made_up([10] * 8)
    learn(make_model("llama"), lessons, tmp_path, epochs=3, fingerprint="one")
    again = Quiet()
    learn(make_model("llama"), lessons, tmp_path, epochs=2, fingerprint="two", progress=again)
    assert not any("goes on" in line for line in again.said)
    assert [line.step for line in read_log(tmp_path)] == [1, 2, 3, 4]
    done = Quiet()
    learn(make_model("llama"), lessons, tmp_path, epochs=2, fingerprint="two", progress=done)
    assert done.said == ["student: goes on after step 4 of 4"]


def train_and_save(folder: Path, kind: str, dropout: float, rank: int = 0, processes: int = 1, port: int = 0) -> None:
    """Train in a process of its own, alone or as one of several, and save the weights."""
    torch.set_num_threads(1)
    if processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    dtype = torch.float32 if processes > 1 or not dropout else compute_dtype()
    model = make_model(kind, dtype=dtype, dropout=dropout, tie_word_embeddings=True)
    lessons, validation = made_up([10 + number % 13 for number in range(30)]), made_up([9] * 4, seed=1)
    learn(
        model, lessons, folder, validation=validation, epochs=4, learning_rate=3e-3, checkpoint_minutes=1e-9, warmup=0.1
    )  # fmt: skip
    if rank == 0:
        save_file({name: weight.detach() for name, weight in model.named_parameters()}, folder / "model.safetensors")


def timeless(folder: Path) -> list[LogLine]:
    return [line.model_copy(update={"seconds": 0.0}) for line in read_log(folder)]


def test_a_training_killed_and_started_again_equals_one_left_alone_bit_for_bit(tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    undisturbed = forked(train_and_save, alone, "gpt2", 0.1)
    draw = random.Random(7)
    for step in sorted(draw.sample(range(2, 30), 4)):
        process = forked(train_and_save, killed, "gpt2", 0.1)
        while len(read_log(killed)) < step and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))  # so that it also falls within a checkpoint's writing
        kill(process)
    wait_for(forked(train_and_save, killed, "gpt2", 0.1))
    wait_for(undisturbed)
    assert len(timeless(alone)) == 4 * 8 + 4
    assert timeless(killed) == timeless(alone)
    assert (killed / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [forked(train_and_save, tmp_path / "two", "llama", 0.0, rank, 2, port) for rank in (0, 1)]
    wait_for(forked(train_and_save, tmp_path / "one", "llama", 0.0))
    for process in pair:
        wait_for(process)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        assert float((two[name] - weight).abs().max()) <= 1e-6, name
    for alone, together in zip(timeless(tmp_path / "one"), timeless(tmp_path / "two"), strict=True):
        assert together.loss == pytest.approx(alone.loss, rel=1e-5)
        assert (together.step, together.tokens, together.targets) == (alone.step, alone.tokens, alone.targets)
