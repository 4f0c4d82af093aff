"""The `socratic` command. Imports nothing heavy before it must, so that `--help` is there at once."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from socratic_distill.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from socratic_distill.run import Run

STAGE_HELP = {
    "load": "read the problems, split and limited",
    "annotate": "get the reasoning for the problems to learn from",
    "verify": "keep the annotations that check out",
    "train": "train the students that the solves need",
    "solve": "let the students solve the test problems",
    "evaluate": "grade the solutions and compare the solves",
    "report": "write report.md and report.html",
}
COMMANDS = {
    **STAGE_HELP,
    "export": "write what the students would learn, for other trainers",
    "run": "do all of it in order, skipping what is done",
    "status": "say what is done and what is not",
}

ASK_HELP = "let trained students solve a problem, or those of standard input"
ASK = """\
Let trained students solve a problem, and print their dialogue as it unfolds, with the calculator's checks.

Without a PROBLEM, problems are read from standard input, one a line; standard output then has a row of JSON for each,
in their order, and standard error the progress. An empty line is a row with a reason.
"""

STUDY_HELP = "vary a recipe along axes and seeds, and say what made a difference"
STUDY = """\
Run a study: a base recipe varied along axes (data sets, sizes, amounts, annotations, ...) and seeds.

STUDY is a TOML file. Its plan with the expected hours comes first; then runs/<name> gets a run folder for each run,
study.json and study.html. Runs share what is the same; a stopped study goes on where it was, and what was added to a
study that is done is all that is run.
"""

MERGE_HELP = "make plain model folders of students trained with LoRA"

WIDTH_OF_LOGS = 120
"""Columns, where no terminal says how many it has."""

DESCRIPTION = """\
Distil step-by-step reasoning into small models, and say with honest statistics which way of teaching won.

A RECIPE is a TOML file. Its run folder, runs/<name>, holds every artifact; a stopped command goes on where it was.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="socratic", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("recipe", metavar="RECIPE", help="a recipe, or the recipe.toml of a run folder")
        command.add_argument(
            "--set",
            metavar="TABLE.KEY=VALUE",
            action="append",
            default=[],
            help="change a setting, such as train.epochs=2; may be repeated",
        )
        command.add_argument("--limit", type=_positive, metavar="N", help="use at most N training and N test problems")
        command.add_argument(
            "--runs", type=Path, metavar="DIR", help="where run folders lie (default: runs, or where the recipe's is)"
        )
        command.add_argument("--fresh", action="store_true", help="make it again, whatever is done")
        command.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    _describe_study(commands)
    _describe_ask(commands)
    merge = commands.add_parser("merge", help=MERGE_HELP, description=f"M{MERGE_HELP[1:]}.")
    merge.add_argument(
        "students", metavar="STUDENTS", type=Path, help="a run folder, its students folder, or a student"
    )
    merge.add_argument(
        "out", metavar="OUT", type=Path, help="the folder to write: a student's, or one with theirs in it"
    )
    return top


def _describe_study(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    study = commands.add_parser(
        "study", help=STUDY_HELP, description=STUDY, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    study.add_argument("study", metavar="STUDY", type=Path, help="a study's TOML file")
    study.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting, such as seeds=[0] or set.train.epochs=1; may be repeated",
    )
    study.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where it lies (default: runs)")
    study.add_argument("--dry-run", action="store_true", help="print the plan, and do nothing")


def _describe_ask(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ask = commands.add_parser(
        "ask", help=ASK_HELP, description=ASK, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("students", metavar="STUDENTS", type=Path, help="a run folder, or the folder of its students")
    ask.add_argument("problem", metavar="PROBLEM", nargs="?", help="a problem; those of standard input if not given")
    ask.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting of a recipe's [solve.<name>], such as strategy=cot, calculator=false or samples=8; "
        "or answer_kind=boolean, or choice or text; may be repeated",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number above 0"  # argparse names the type by it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, 1 for a user's mistake (told in one line), 2 for wrong usage."""
    options = _parsed(arguments)
    if options.version:
        from importlib.metadata import version

        sys.stdout.write(f"socratic-distill {version('socratic-distill')}\n")
        return 0
    if options.command is None:
        parser().print_help()
        return 2
    # Libraries below us draw bars and print advice that is not for our users.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        if options.command == "ask":
            _ask(options)
        elif options.command == "merge":
            _merge(options)
        elif options.command == "study":
            _study(options)
        else:
            _command(options)
    except UserError as error:
        sys.stderr.write(f"socratic: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        goes_on = "" if options.command in ("ask", "merge") else "; the same command goes on where it was"
        sys.stderr.write(f"socratic: stopped{goes_on}\n")
        return 130
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    top = parser()
    options, left = top.parse_known_args(arguments)
    if options.command == "ask" and options.problem is None and len(left) == 1 and not left[0].startswith("-"):
        options.problem = left.pop()  # before Python 3.13 argparse does not find it behind a flag
    if left:
        top.error(f"unrecognized arguments: {' '.join(left)}")
    return options


def _ask(options: argparse.Namespace) -> None:
    from socratic_distill.app.ask import ask, ask_all
    from socratic_distill.app.progress import ConsoleProgress

    progress = ConsoleProgress(_console(stderr=True))
    if options.problem is not None:
        ask(options.students, options.problem, overrides=options.set, console=_console(), progress=progress)
    else:
        ask_all(options.students, sys.stdin.buffer, sys.stdout, overrides=options.set, progress=progress)


def _merge(options: argparse.Namespace) -> None:
    from socratic_distill.app.progress import ConsoleProgress
    from socratic_distill.merging import merge_all

    progress = ConsoleProgress(_console())
    for folder, out in merge_all(options.students, options.out):
        progress.say(f"merged {folder} into {out}")


def _study(options: argparse.Namespace) -> None:
    from socratic_distill.app.progress import ConsoleProgress
    from socratic_distill.app.study import study

    console = _console()
    study(
        options.study,
        overrides=options.set,
        runs=options.runs,
        dry_run=options.dry_run,
        console=console,
        progress=ConsoleProgress(console),
    )


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH_OF_LOGS)


def _command(options: argparse.Namespace) -> None:
    from socratic_distill.app.progress import ConsoleProgress
    from socratic_distill.pipeline import STAGES, run_stages
    from socratic_distill.recipe import load_recipe
    from socratic_distill.run import Run

    limits = [] if options.limit is None else [f"problems.{split}_limit={options.limit}" for split in ("train", "test")]
    recipe = load_recipe(options.recipe, [*options.set, *limits])
    console = _console()
    runs = options.runs or _runs_folder(Path(options.recipe), recipe.name)
    run = Run(recipe, runs / recipe.name, ConsoleProgress(console))
    if options.command == "status":
        _print_status(run, console)
        return
    stages = STAGES if options.command == "run" else (options.command,)
    run_stages(run, stages, fresh=options.fresh, dry_run=options.dry_run)
    if options.command in ("run", "evaluate") and not options.dry_run:
        _print_summary(run, console)


def _runs_folder(recipe: Path, name: str) -> Path:
    """Return where the run folder lies: for a run's own recipe.toml, where it is."""
    folder = recipe.resolve().parent
    is_run = recipe.name == "recipe.toml" and folder.name == name and (folder / "problems.manifest.json").exists()
    return folder.parent if is_run else Path("runs")


def _print_status(run: "Run", console: "Console") -> None:
    from rich.table import Table

    from socratic_distill.pipeline import states

    table = Table("stage", "artifact", "state", "why", title=f"{run.folder}", title_justify="left")
    for stage, artifact, state, why in states(run):
        table.add_row(stage, artifact, state or "", "; ".join(why))
    console.print(table)


def _print_summary(run: "Run", console: "Console") -> None:
    from socratic_distill.reporting.page import funnel_table, terminal_table
    from socratic_distill.stages.report import read_summary

    summary = read_summary(run)
    if summary.funnel.source != "human":
        console.print(funnel_table(summary.funnel))
    console.print(terminal_table(summary))
    report = run.path("report.html")
    if report.is_file():
        console.print(f"report: {report}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
