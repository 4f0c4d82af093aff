"""How fast one student trains, against TRL on the same problems and against what the processor could do at most.

    python benchmarks/training.py --json FILE

(a) ours; (b) TRL's SFTTrainer, one prompt/completion pair per step; (c) TRL's SFTTrainer on our merged sequences.
The student is the solver. Rounds alternate; each run is a process of its own; medians are reported. TRL gets an
environment of its own, and its best batch size by a scouting run on fewer problems.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from socratic_distill.problems import DATASETS
from socratic_distill.reasoning.gold import human_annotation
from socratic_distill.reasoning.strategies import STRATEGIES
from socratic_distill.students import Encoder, load_base, load_tokenizer
from socratic_distill.training.lessons import lessons_for
from socratic_distill.training.sequences import encode_lesson

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TRL_ENVIRONMENT = ROOT / ".venv-trl"
TRL_PACKAGES = ("torch==2.13.0", "trl==1.16.0")
DATA = ROOT.parent / "shared" / "data" / "gsm8k" / "socratic_train.jsonl"
PAIRS_BATCHES, MERGED_BATCHES = (1, 2, 4, 8), (1, 2, 4, 8, 16)
SCOUTED_PROBLEMS = 16


def main() -> None:
    """Run the benchmark and write its figures."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        problems = work / "problems.json"
        prepare(problems, data=options.data, count=options.problems)
        save_start(work / "student")
        trl = trl_python()
        best = {
            kind: scout(trl, work, kind, batches)
            for kind, batches in (("pairs", PAIRS_BATCHES), ("merged", MERGED_BATCHES))
        }
        ours: list[dict[str, Any]] = []
        peers: dict[str, list[float]] = {"pairs": [], "merged": []}
        for turn in range(options.rounds):
            ours.append(run([sys.executable, str(HERE / "training_ours.py"), str(work)], work))
            print(f"round {turn + 1}: ours {ours[-1]['problems_per_s']:.2f} problems/s", flush=True)
            for kind, batch in best.items():
                peers[kind].append(trl_speed(trl, work, kind, batch, options.problems))
                print(f"round {turn + 1}: trl {kind}, batch {batch}: {peers[kind][-1]:.3f} problems/s", flush=True)
    figures = {
        "ours_problems_per_s": statistics.median(one["problems_per_s"] for one in ours),
        "trl_pairs_problems_per_s": statistics.median(peers["pairs"]),
        "trl_merged_problems_per_s": statistics.median(peers["merged"]),
        "bound_problems_per_s": statistics.median(one["bound_problems_per_s"] for one in ours),
        "bound_share": statistics.median(one["bound_share"] for one in ours),
        "peak_gflops": statistics.median(one["peak_gflops"] for one in ours),
        "peak_rss_mib": max(one["peak_rss_mib"] for one in ours),
        "trl_pairs_batch": best["pairs"],
        "trl_merged_batch": best["merged"],
        "problems": options.problems,
        "rounds": {"ours": ours, "trl_pairs": peers["pairs"], "trl_merged": peers["merged"]},
    }
    print(ours[-1]["bound_words"])
    print(ours[-1]["profile"])
    speed = figures["ours_problems_per_s"]
    print(
        f"ours {speed:.2f} problems/s: {speed / figures['trl_pairs_problems_per_s']:.1f} times TRL with pairs, "
        f"{speed / figures['trl_merged_problems_per_s']:.1f} times TRL with merged sequences, "
        f"{100 * figures['bound_share']:.0f} % of the bound"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--data", default=str(DATA), help="a file of GSM8K's Socratic rows")
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def prepare(path: Path, *, data: str, count: int) -> None:
    """Write the problems as merged sequences (ids, targets) and as prompt/completion pairs, for both sides to read."""
    problems = list(islice(DATASETS["gsm8k"].load(data, split="train"), count))
    annotations = [human_annotation(one) for one in problems]
    lessons = lessons_for("solver", STRATEGIES["socratic_iterative"], problems, annotations, facts="none")["train"]
    encoder = Encoder(load_tokenizer("smollm2-135m"))
    rows = []
    for lesson in lessons:
        sequence = encode_lesson(lesson, encoder)
        labels = [-100] * len(sequence.ids)
        for place in sequence.targets:
            labels[place] = sequence.ids[place]
        end = encoder.tokenizer.eos_token
        pairs = [
            {
                "prompt": "".join(f"{piece}{end}" for piece in lesson.pieces[:place]),
                "completion": lesson.pieces[place],
            }
            for place in lesson.learned
        ]
        rows.append({"ids": sequence.ids, "targets": sequence.targets, "labels": labels, "pairs": pairs})
    path.write_text(json.dumps(rows), encoding="utf-8")


def save_start(folder: Path) -> None:
    """Write the student that all sides start from."""
    import torch

    model, tokenizer = load_base("smollm2-135m", dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def trl_python() -> Path:
    """Make TRL's environment where it is absent and return its Python."""
    python = TRL_ENVIRONMENT / "bin" / "python"
    if not (TRL_ENVIRONMENT / "installed").exists():
        print(f"makes {TRL_ENVIRONMENT.name} for TRL", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(TRL_ENVIRONMENT)], check=True)
        for package in TRL_PACKAGES:  # torch first, so that nothing fetches another build of it
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
        (TRL_ENVIRONMENT / "installed").touch()
    return python


def scout(trl: Path, work: Path, kind: str, batches: Sequence[int]) -> int:
    """Return the batch size at which TRL is fastest, seen on fewer problems."""
    speeds = {batch: trl_speed(trl, work, kind, batch, SCOUTED_PROBLEMS) for batch in batches}
    print(f"trl {kind}, by batch: " + ", ".join(f"{batch}: {speed:.3f}" for batch, speed in speeds.items()), flush=True)
    return max(speeds, key=lambda batch: speeds[batch])


def trl_speed(trl: Path, work: Path, kind: str, batch: int, problems: int) -> float:
    """Train with TRL over some problems and return problems per second."""
    command = [str(trl), str(HERE / "training_trl.py"), str(work), kind, str(batch), str(problems)]
    return float(run(command, work)["problems_per_s"])


def run(command: Sequence[str], work: Path) -> dict[str, Any]:
    """Run a side in a process of its own; it leaves its figures in a file."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads((work / "figures.json").read_text(encoding="utf-8"))
    return figures


if __name__ == "__main__":
    main()
