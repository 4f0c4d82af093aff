"""How near to a server's own rate a teacher is asked, beside Curator, and how fast a large journal is resumed.

    python benchmarks/annotating.py --json FILE

(a) The annotate stage against our scripted server, a process of its own that answers after a second: 5,000 problems,
256 at a time. (b) bespokelabs-curator, in an environment of its own, with the same prompts at the same server, if it
installs. (c) A journal of a million rows of 2 KB, half of them answers: loaded, then every request answered from it.
Each is a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CURATOR_ENVIRONMENT = ROOT / ".venv-curator"
CURATOR_PACKAGE = "bespokelabs-curator==0.1.31"
REPLY = (
    "Q1: How many crates does Nora fill?\nA1: Nora fills 84/12 = <<84/12=7>>7 crates.\n"
    "Q2: How much do the crates sell for?\nA2: They sell for 7*15 = <<7*15=105>>105 dollars.\nThe answer is 105"
)


def main() -> None:
    """Run the benchmark and write its figures."""
    options = arguments()
    ideal = options.problems * options.latency / options.concurrency  # seconds
    figures: dict[str, Any] = {"problems": options.problems, "concurrency": options.concurrency, "ideal_seconds": ideal}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with serving(options.latency) as url:
            ours = side(sys.executable, "annotating_ours.py", work, "stage", url, options)
            figures |= {"ideal_share": ideal / ours["seconds"], "peak_mib": ours["peak_mib"], "ours": ours}
            print(f"ours: {ours['seconds']:.1f} s, {100 * figures['ideal_share']:.1f} % of the ideal rate", flush=True)
            figures |= curator(work, url, ideal, options)
        resumed = side(sys.executable, "annotating_ours.py", work, "journal", str(options.rows), options)
        figures |= {
            "resume_seconds": resumed["load_seconds"] + resumed["answer_seconds"],
            "resume_peak_mib": resumed["peak_mib"],
            "journal": resumed,
        }
    print(
        f"a journal of {options.rows:,} rows: {resumed['load_seconds']:.1f} s to load, "
        f"{resumed['answer_seconds']:.1f} s to answer {resumed['requests']:,} requests, {resumed['peak_mib']:,.0f} MiB"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--problems", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds before the server answers")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the journal")
    return parser.parse_args()


@contextmanager
def serving(latency: float) -> Iterator[str]:
    """Run the scripted server and give its address."""
    command = [sys.executable, str(ROOT / "tests" / "scripted_server.py"), "--latency", str(latency), "--text", REPLY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def curator(work: Path, url: str, ideal: float, options: argparse.Namespace) -> dict[str, Any]:
    """Ask the same with Curator; `curator_share` is None, with the reason, where it doesn't install or run."""
    try:
        theirs = side(str(curator_python()), "annotating_curator.py", work, url, "", options)
    except subprocess.CalledProcessError as error:
        reason = f"{' '.join(map(str, error.cmd))[:200]} failed: {(error.stderr or '').strip()[-2000:]}"
        print(f"curator: not measured: {reason}", flush=True)
        return {"curator_share": None, "curator_reason": reason}
    print(f"curator: {theirs['seconds']:.1f} s, {100 * ideal / theirs['seconds']:.1f} % of the ideal rate", flush=True)
    return {"curator_share": ideal / theirs["seconds"], "curator": theirs}


def curator_python() -> Path:
    """Make Curator's environment where it is absent and return its Python."""
    python = CURATOR_ENVIRONMENT / "bin" / "python"
    if not (CURATOR_ENVIRONMENT / "installed").exists():
        print(f"makes {CURATOR_ENVIRONMENT.name} for Curator", flush=True)
        run([sys.executable, "-m", "venv", str(CURATOR_ENVIRONMENT)])
        run([str(python), "-m", "pip", "install", "--quiet", CURATOR_PACKAGE])
        (CURATOR_ENVIRONMENT / "installed").touch()
    return python


def side(python: str, script: str, work: Path, first: str, second: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a side in a process of its own; it leaves its figures in a file."""
    sizes = [str(options.problems), str(options.concurrency)]
    run([python, str(HERE / script), str(work), first, second, *sizes])
    figures: dict[str, Any] = json.loads((work / "figures.json").read_text(encoding="utf-8"))
    return figures


def run(command: Sequence[str]) -> None:
    """Run a command and raise, with what it said, where it fails."""
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
