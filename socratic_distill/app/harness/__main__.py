"""`python -m socratic_distill.app.harness`: the harness's own command line, which then knows our model and tasks."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from socratic_distill.errors import UserError

TASKS = Path(__file__).parent / "tasks"

USAGE = """\
usage: python -m socratic_distill.app.harness --model_args run=RUN,solve=SOLVE --tasks socratic_svamp ...
       python -m socratic_distill.app.harness compare SAMPLES.jsonl RUN/harness/SOLVE-*.jsonl

The first is `lm_eval run` of lm-evaluation-harness with our model and tasks (socratic_gsm8k, socratic_svamp,
socratic_strategyqa); all of its options may follow. --metadata svamp=PATH names a task's file, else it is the hub's.
The second holds our score beside the harness's on the samples that --log_samples wrote.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness's command line, or a comparison. Returns 0, 1 for a user's mistake, 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if given else 2
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own progress is shown
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        if given[0] == "compare":
            return _compare(given[1:])
        _evaluate(given)
    except UserError as error:
        sys.stderr.write(f"socratic: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("socratic: stopped; the same command goes on where it was\n")
        return 130
    return 0


def _evaluate(given: Sequence[str]) -> None:
    try:
        from lm_eval._cli.harness import HarnessCLI
    except ImportError:
        raise UserError(
            "lm-evaluation-harness is not installed; run: pip install 'socratic-distill[lm-eval]'"
        ) from None
    import socratic_distill.app.harness.model  # noqa: F401  # registers the model

    ours = ["run", "--model", "socratic", "--include_path", str(TASKS)]
    before, sys.argv = sys.argv, ["lm-eval", *ours, *given]  # its parser reads nothing else
    try:
        cli = HarnessCLI()
        cli.execute(cli.parse_args())
    finally:
        sys.argv = before


def _compare(given: Sequence[str]) -> int:
    if len(given) != 2:
        sys.stdout.write(USAGE)
        return 2
    from socratic_distill.app.harness.comparison import compared, read_samples, read_solutions, told

    samples, solutions = map(Path, given)
    for line in told(compared(read_samples(samples), read_solutions(solutions))):
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
