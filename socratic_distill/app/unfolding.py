"""Prints a dialogue as it unfolds: who writes what, and what the calculator makes of it."""

from rich.console import Console
from rich.text import Text

from socratic_distill.reasoning.arithmetic import corrected, format_number, marks
from socratic_distill.reasoning.dialogue import Ask
from socratic_distill.records import Completion, Prompt, Solution

INDENT = 12
"""Columns of who speaks."""


class Unfolding:
    """Prints what students write as soon as it is written. `tell` is for `told`, around all else.

    What a calculator interrupts is one text, and under it stands what became of each of its marks.
    """

    def __init__(self, console: Console, *, calculator: bool) -> None:
        self._console, self._calculator = console, calculator
        self._asked: tuple[str, tuple[str, ...]] = ("", ())
        self._text = ""
        self._writing = False
        self._checks: list[Text] = []

    def tell(self, ask: Ask, completion: Completion) -> None:
        """Print one completion, or go on with the text that it goes on with."""
        student, prompt = ask.student, ask.prompt
        if not (self._writing and self._asked == (student, prompt.pieces) and prompt.begun == self._text):
            self.close()
            self._begin(student, prompt)
        written = prompt.begun + completion.text
        stopped = completion.finish_reason == "stop_string"
        text = corrected(written) if self._calculator and stopped else written
        self._print(text[len(prompt.begun) :])
        self._check(written, after=len(prompt.begun))
        self._text = text
        if not stopped:
            if completion.finish_reason != "end":
                self._checks.append(Text(f"not ended: {completion.finish_reason.replace('_', ' ')}", "yellow"))
            self.close()

    def close(self) -> None:
        """End what is being written, and print its checks."""
        if self._writing:
            self._console.print()
        for check in self._checks:
            self._console.print(Text(" " * INDENT).append(check), soft_wrap=True)
        self._checks, self._writing = [], False

    def _begin(self, student: str, prompt: Prompt) -> None:
        again = self._asked == (student, prompt.pieces)
        self._console.print(_label("again" if again else student), end="")
        self._asked, self._text, self._writing = (student, prompt.pieces), prompt.begun, True
        self._print(prompt.begun)

    def _print(self, text: str) -> None:
        self._console.print(_marked(text), end="", soft_wrap=True)
        self._console.file.flush()

    def _check(self, written: str, *, after: int) -> None:
        for mark in marks(written):
            if mark.start < after or mark.value is None:
                continue
            equation = f"{mark.expression}={mark.stated}"
            if mark.right:
                self._checks.append(Text(f"{equation} is right", "green"))
            elif self._calculator:
                self._checks.append(Text(f"{equation} is changed to {format_number(mark.value)}", "yellow"))
            else:
                self._checks.append(Text(f"{equation} is wrong, it is {format_number(mark.value)}", "red"))


def print_solution(console: Console, solution: Solution) -> None:
    """Print the steps of a solution, or its text where it has none."""
    for step in solution.steps:
        console.print(_label("asked").append(_marked(step.subquestion)), soft_wrap=True)
        console.print(_label("solved").append(_marked(step.solution)), soft_wrap=True)
    if not solution.steps:
        console.print(_label("solved").append(_marked(solution.text)), soft_wrap=True)


def print_line(console: Console, label: str, text: str) -> None:
    """Print one thing that is known at the end, such as the answer."""
    console.print(_label(label).append(readable(text), "bold"), soft_wrap=True)


def readable(text: str) -> str:
    """Replace what a terminal would take for a command, and indent further lines."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)
    return shown.replace("\n", "\n" + " " * INDENT)


def _label(name: str) -> Text:
    return Text(f"{readable(name):<{INDENT - 1}} ", "cyan")


def _marked(text: str) -> Text:
    """Colour a text's calculator marks."""
    shown, place = Text(), 0
    for mark in marks(text):
        shown.append(readable(text[place : mark.start]))
        colour = {True: "green", False: "yellow", None: ""}[mark.right]
        shown.append(readable(text[mark.start : mark.end]), colour)
        place = mark.end
    return shown.append(readable(text[place:]))
