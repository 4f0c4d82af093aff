"""How fast a trained pair solves: ours, against what a script would do, and against OpenVINO GenAI at its plainest.

    python benchmarks/solving.py --json FILE [--students runs/gsm8k/students]

(a) ours with OpenVINO, int8 and bf16, a window of 128; (b) ours with transformers; (c) the research loop: one problem
at a time, `generate` called afresh for each subquestion and solution; (d) transformers in lock-step batches of 64,
without a cache from round to round; (e) the bound: OpenVINO GenAI reading and writing as many tokens as (a), once per
student, 64 sequences at a time; and ours as `socratic ask`, one problem at a time, warm, told as it unfolds. Each is a
process of its own; slow ones solve fewer of the same problems, the first. Where there is a GPU, transformers uses it;
with `--server URL` ours also asks the students of such a server.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from socratic_distill.problems import DATASETS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = ROOT.parent / "shared" / "data" / "gsm8k" / "socratic_validation.jsonl"
SHARES = {
    "openvino": 1.0,
    "openvino_bf16": 1.0,
    "transformers": 0.5,
    "lockstep": 0.5,
    "ask": 0.125,
    "research_loop": 0.125,
}
"""Which share of the problems each contender solves."""


def main() -> None:
    """Run the benchmark and write its figures."""
    options = arguments()
    shares = {**SHARES, **({"server": 1.0} if options.server else {})}
    wanted = options.only or [*shares, "bound"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "students").write_text(str(options.students.resolve()), encoding="utf-8")
        (work / "server").write_text(options.server or "", encoding="utf-8")
        problems = list(islice(DATASETS["gsm8k"].load(str(options.data), split="test"), options.problems))
        found: dict[str, dict[str, Any]] = {}
        for name in wanted:
            count = max(2, round(len(problems) * shares.get(name, 0)))
            lines = "\n".join(problem.model_dump_json() for problem in problems[:count])
            (work / f"{name}.problems").write_text(lines, encoding="utf-8")
            subprocess.run([sys.executable, str(HERE / "solving_contenders.py"), name, str(work)], check=True)
            found[name] = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
            print(told(name, found[name]), flush=True)
    figures: dict[str, Any] = {name: one["problems_per_s"] for name, one in found.items() if "problems_per_s" in one}
    if "bound" in found and "openvino" in found:
        figures["bound_share"] = found["bound"]["seconds"] / found["openvino"]["seconds"]
    print(compared(figures))
    if options.json:
        options.json.write_text(json.dumps({**figures, "contenders": found}, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--students", type=Path, default=Path("runs/gsm8k/students"), help="the trained pair's folder")
    parser.add_argument("--data", type=Path, default=DATA, help="GSM8K problems")
    parser.add_argument("--problems", type=int, default=128)
    parser.add_argument("--only", nargs="*", help="contenders to run, in this order")
    parser.add_argument("--server", help="base URL of a server with the models decomposer and solver")
    return parser.parse_args()


def told(name: str, figures: Mapping[str, Any]) -> str:
    """Say what a contender did, in one line."""
    if name == "bound":
        return f"bound: {figures['seconds']:.1f} s"
    first = f", first subquestion after {figures['first_subquestion_s']:.2f} s" if name == "ask" else ""
    return (
        f"{name}: {figures['problems_per_s']:.3f} problems/s, {figures['tokens_per_s']:.0f} tokens/s, "
        f"{figures['correct']} of {figures['problems']} right, {figures['peak_rss_mib']:,.0f} MiB{first}"
    )


def compared(figures: Mapping[str, float]) -> str:
    """Say how many times as fast ours are as the others, and how near the bound."""
    times = [
        f"{ours} is {figures[ours] / figures[other]:.1f} times {other}"
        for ours in ("openvino", "openvino_bf16", "transformers", "ask")
        for other in ("research_loop", "lockstep")
        if ours in figures and other in figures and (ours, other) != ("ask", "lockstep")
    ]
    share = [f"{100 * figures['bound_share']:.0f} % of the bound"] if "bound_share" in figures else []
    return "; ".join([*times, *share])


if __name__ == "__main__":
    main()
