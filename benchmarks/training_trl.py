"""TRL's side of `training.py`, run in an environment of its own: FOLDER pairs|merged BATCH PROBLEMS."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


def main() -> None:
    """Train and leave problems per second, the first step left out as a warm-up."""
    work, kind, batch, problems = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rows = json.loads((work / "problems.json").read_text(encoding="utf-8"))
    rows = rows[:: max(1, len(rows) // problems)][:problems]
    if kind == "pairs":
        examples = [pair for row in rows for pair in row["pairs"]]
    else:
        examples = [{"input_ids": row["ids"], "labels": row["labels"]} for row in rows]
    epochs = 1 if len(examples) > batch else 2  # the first step is not timed, so there must be two
    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(work / "student"),
        args=SFTConfig(
            output_dir=str(work / "trl"),
            per_device_train_batch_size=batch,
            num_train_epochs=epochs,
            bf16=True,
            gradient_checkpointing=False,
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length",
            learning_rate=1e-5,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(work / "student"),
        callbacks=[clock],
    )
    trainer.train()
    timed = epochs - batch / len(examples)  # passes over the examples, after the first step
    speed = len(rows) * timed / (clock.times[-1] - clock.times[0])
    (work / "figures.json").write_text(json.dumps({"problems_per_s": speed}), encoding="utf-8")


if __name__ == "__main__":
    main()
