"""Our side of `training.py`: the product's own loop, its speed, and the bound of the processor it ran on."""

import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from socratic_distill.machine import compute_dtype
from socratic_distill.recipe import Train
from socratic_distill.run import QUIET
from socratic_distill.training.log import read_log
from socratic_distill.training.loop import train
from socratic_distill.training.loss import loss_of
from socratic_distill.training.sequences import TokenSequence, micro_batches

EPOCHS = 3  # the first warms up
SHAPES = ((2048, 576, 1536), (1024, 1024, 1024), (4096, 4096, 4096))


def main() -> None:
    """Train, measure and leave the figures."""
    work = Path(sys.argv[1])
    rows = json.loads((work / "problems.json").read_text(encoding="utf-8"))
    sequences = [TokenSequence(row["ids"], row["targets"]) for row in rows]
    model = AutoModelForCausalLM.from_pretrained(work / "student", dtype=compute_dtype())
    settings = Train(epochs=EPOCHS, learning_rate=1e-5)
    folder = work / f"ours-{time.time_ns()}"
    train(
        model,
        sequences,
        validation=(),
        settings=settings,
        folder=folder,
        fingerprint="benchmark",
        progress=QUIET,
        name="solver",
    )
    seconds = [sum(line.seconds for line in read_log(folder) if line.epoch == epoch + 1) for epoch in range(1, EPOCHS)]
    speed = len(sequences) / statistics.median(seconds)
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    flops, words = work_of(model, sequences)
    peak = matmul_peak()
    bound = len(sequences) / (flops / peak)
    figures = {
        "problems_per_s": speed,
        "bound_problems_per_s": bound,
        "bound_share": speed / bound,
        "peak_gflops": peak / 1e9,
        "peak_rss_mib": peak_rss,
        "bound_words": f"{words} at {peak / 1e9:.0f} GFLOPS = {flops / peak:.1f} s for {len(sequences)} problems",
        "profile": profile(model, sequences[: settings.batch_problems], settings),
    }
    (work / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


def work_of(model: PreTrainedModel, sequences: list[TokenSequence]) -> tuple[float, str]:
    """Count what a forward and backward pass needs at least, in FLOPs: nothing for padding, nothing beside products."""
    config = model.config
    head = config.vocab_size * config.hidden_size
    trunk = model.num_parameters() - head  # tied: the embedding is the head
    tokens = sum(len(one.ids) for one in sequences)
    targets = sum(len(one.targets) for one in sequences)
    # Scores and weighted values, 2 products of T x T x d each of 2 FLOPs, half of it causal; backward twice forward.
    attention = sum(3 * 2 * 2 * len(one.ids) ** 2 / 2 for one in sequences)
    attention *= config.hidden_size * config.num_hidden_layers
    flops = 6 * trunk * tokens + 6 * head * targets + attention
    words = (
        f"bound: 6 x {trunk:,} trunk weights x {tokens:,} tokens + 6 x {head:,} head weights x {targets:,} targets "
        f"+ {attention / 1e9:,.0f} GFLOPs of causal attention = {flops / 1e9:,.0f} GFLOPs"
    )
    return flops, words


def matmul_peak(*, seconds: float = 1.0) -> float:
    """Measure the best rate of a bf16 matrix product over a few shapes, in FLOPs per second."""
    best = 0.0
    for rows, inner, columns in SHAPES:
        a = torch.randn(rows, inner, dtype=compute_dtype())
        b = torch.randn(inner, columns, dtype=compute_dtype())
        times: list[float] = []
        a @ b
        while sum(times) < seconds:
            started = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - started)
        best = max(best, 2 * rows * inner * columns / statistics.median(times))
    return best


def profile(model: PreTrainedModel, sequences: list[TokenSequence], settings: Train) -> str:
    """Say what takes the time of one forward and backward pass over a batch."""
    lengths = [len(one.ids) for one in sequences]
    loss_sum, _ = loss_of(model, max(sequences, key=lambda one: len(one.ids)))
    model.train()
    activities: Any = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        for part in micro_batches(range(len(sequences)), lengths, tokens=settings.micro_batch_tokens):
            loss_sum([sequences[number] for number in part]).backward()
    table: str = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=48)
    return table


if __name__ == "__main__":
    main()
