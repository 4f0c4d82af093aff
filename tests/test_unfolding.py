"""What one sees while students write."""

import io

from rich.console import Console
from sampled import PENS, Script, solved

from socratic_distill.app.unfolding import Unfolding, print_line, print_solution
from socratic_distill.reasoning.dialogue import Ask, Dialogue, told, with_calculator
from socratic_distill.reasoning.strategies import cot, socratic_iterative
from socratic_distill.reasoning.verified import with_verified_steps
from socratic_distill.records import Completion, Prompt, Sampling, Solution, Step

GREEDY = Sampling(max_tokens=30)


def console(*, terminal: bool = False) -> Console:
    return Console(
        file=io.StringIO(), width=120, force_terminal=terminal, color_system="standard" if terminal else None
    )


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def printed(dialogue: Dialogue, *, calculator: bool = True, **scripts: Script) -> str:
    on = console()
    unfolding = Unfolding(on, calculator=calculator)
    solved(told(dialogue, unfolding.tell), scripts)
    unfolding.close()
    return written(on)


def tries(*texts: str) -> Script:
    left = list(texts)
    return lambda prompt, sampling: left.pop(0)


def test_a_pairs_dialogue_is_a_line_each_with_the_calculators_checks_under_it() -> None:
    def solver(prompt: Prompt, _: Sampling) -> str:
        if prompt.begun.count(">>") == 2:
            return "7 in all. #### 7"
        return "7 and <<6+1=7>>" if prompt.begun else "3*2 = <<3*2=5>>"

    dialogue = with_calculator(socratic_iterative(PENS), GREEDY)
    assert printed(dialogue, decomposer=tries("How many?", "[done]"), solver=solver).splitlines() == [
        "decomposer  How many?",
        "solver      3*2 = <<3*2=6>>7 and <<6+1=7>>7 in all. #### 7",
        "            3*2=5 is changed to 6",
        "            6+1=7 is right",
        "decomposer  [done]",
    ]


def test_without_a_calculator_a_wrong_mark_is_called_wrong() -> None:
    told_of = printed(cot(PENS), calculator=False, cot=tries("<<1+1=2>>2 <<1+1=3>>3 <<x=2>>\n#### 3")).splitlines()
    assert told_of == [
        "cot         <<1+1=2>>2 <<1+1=3>>3 <<x=2>>",
        "            #### 3",
        "            1+1=2 is right",
        "            1+1=3 is wrong, it is 2",
    ]


def test_what_is_asked_again_says_so_and_shows_what_it_kept() -> None:
    dialogue = with_verified_steps(cot(PENS), GREEDY, retries=1)
    assert printed(dialogue, cot=tries("a 1+1=2\nb 2+2=5", "b 2+2=4")).splitlines() == [
        "cot         a 1+1=2",
        "            b 2+2=5",
        "again       a 1+1=2",
        "            b 2+2=4",
    ]


def test_what_does_not_end_says_why() -> None:
    assert printed(cot(PENS), cot=tries("word " * 300)).splitlines()[-1] == "            not ended: length"
    dialogue = with_calculator(cot(PENS), Sampling(max_tokens=1))
    assert printed(dialogue, cot=tries("<<1+1=3>> b")) == "cot         <<1+1=2>>\n            1+1=3 is changed to 2\n"


def test_a_subquestion_is_on_the_screen_before_the_next_ask() -> None:
    on = console()
    unfolding = Unfolding(on, calculator=True)
    dialogue = told(socratic_iterative(PENS), unfolding.tell)
    next(dialogue)
    assert written(on) == ""
    reply = Completion(text="How many?", finish_reason="end", prompt_tokens=1, tokens=1)
    asks = dialogue.send((reply,))
    assert [ask.student for ask in asks] == ["solver"]  # type: ignore[union-attr]  # a combinator yields tuples
    assert written(on) == "decomposer  How many?\n"


def test_a_part_is_on_the_screen_before_what_follows_it_is_written() -> None:
    on = console()
    part = Completion(text="3*2 = <<3*2=5>>", finish_reason="stop_string", prompt_tokens=1, tokens=1)
    Unfolding(on, calculator=True).tell(Ask("solver", Prompt(pieces=("P",))), part)
    assert written(on) == "solver      3*2 = <<3*2=6>>"


def test_no_text_of_a_student_commands_the_terminal_or_is_read_as_markup() -> None:
    on = console(terminal=True)
    unfolding = Unfolding(on, calculator=False)
    solved(told(cot(PENS), unfolding.tell), {"cot": tries("[red]a[/red] \x1b[2Jb\x07\r\x9b1mc [/]")})
    print_line(on, "answer", "\x1b]0;x\x07[bold]")
    print_solution(on, Solution(text="", steps=(Step(subquestion="\x1bq", solution="[red]\x08", answer=""),)))
    shown = written(on)
    for command in ("\x1b[2J", "\x07", "\r", "\x9b", "\x1b]", "\x08", "\x1bq"):
        assert command not in shown
    assert "[red]a[/red]" in shown
    assert "[bold]" in shown
    assert "\x1b[36m" in shown, "our own colours are there"


def test_a_solution_is_its_steps_or_its_text() -> None:
    on = console()
    print_solution(on, Solution(text="x", steps=(Step(subquestion="How many?", solution="6 <<3*2=6>>", answer="6"),)))
    print_solution(on, Solution(text="a\nb"))
    assert written(on).splitlines() == [
        "asked       How many?",
        "solved      6 <<3*2=6>>",
        "solved      a",
        "            b",
    ]
