"""Replaying a dialogue, the combinators over any, and the calculator that acts while a student writes."""

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socratic_distill.engines.driver import drive
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.reasoning.dialogue import (
    Ask,
    Dialogue,
    replay,
    reseeded,
    side_by_side,
    told,
    with_calculator,
    with_sampling,
)
from socratic_distill.records import Completion, Example, Prompt, Sampling, Solution, Turn

P = Prompt(pieces=("How many?",))


def one_ask(sampling: Sampling | None = None) -> Dialogue:
    reply: Completion = yield Ask("cot", P, sampling)
    return Solution(text=reply.text, unfinished=reply.finish_reason)


def two_together() -> Dialogue:
    replies: tuple[Completion, ...] = yield (Ask("a", P), Ask("b", P))
    return Solution(text=" | ".join(reply.text for reply in replies))


# --- replay


def test_a_replay_yields_each_prompt_with_its_text_and_the_solution() -> None:
    def dialogue() -> Dialogue:
        first: Completion = yield Ask("a", P)
        second: Completion = yield Ask("b", Prompt(pieces=(*P.pieces, first.text)))
        third: Completion = yield Ask("a", Prompt(pieces=(*P.pieces, first.text, second.text)))
        return Solution(text=third.text)

    examples, solution = replay(dialogue(), {"a": ["one", "three"], "b": ["two"]})
    assert examples == [
        Example(student="a", prompt=P, completion="one"),
        Example(student="b", prompt=Prompt(pieces=("How many?", "one")), completion="two"),
        Example(student="a", prompt=Prompt(pieces=("How many?", "one", "two")), completion="three"),
    ]
    assert solution == Solution(text="three")


def test_asks_made_together_are_replayed_together() -> None:
    examples, solution = replay(two_together(), {"a": ["x"], "b": ["y"]})
    assert [example.student for example in examples] == ["a", "b"]
    assert solution.text == "x | y"


def test_a_dialogue_that_asks_more_often_than_there_are_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="asks 'b' more often than the annotation has texts"):
        replay(two_together(), {"a": ["x"], "b": []})


# --- combinators


def counting(student: str, count: int) -> Dialogue[str]:
    """Ask so often, alone and in pairs by turns, each time with all that was answered."""
    text = student
    for turn in range(count):
        if turn % 2:
            both: tuple[Completion, ...] = yield (Ask(student, Prompt(pieces=(text,))), Ask("b", P))
            text = "".join(reply.text for reply in both)
        else:
            reply: Completion = yield Ask(student, Prompt(pieces=(text,)))
            text = reply.text
    return text


def drive_all(dialogue: Dialogue[str] | Dialogue[tuple[str, ...]]) -> tuple[object, list[str]]:
    """Run a dialogue whose students put their own letter behind what they read."""
    engines = {name: ScriptedEngine(lambda prompt, name=name: prompt.pieces[-1] + name) for name in "abc"}
    [finished] = drive([("1", dialogue)], engines, sampling=Sampling())
    return finished.result, [turn.text for turn in finished.turns]


def test_dialogues_side_by_side_end_as_each_would_alone_and_ask_what_each_would() -> None:
    alone = [drive_all(counting("a", count)) for count in (0, 4, 1, 3)]
    results, turns = drive_all(side_by_side([counting("a", count) for count in (0, 4, 1, 3)]))
    assert results == tuple(result for result, _ in alone)
    assert sorted(turns) == sorted(turn for _, turns in alone for turn in turns)


def test_a_dialogue_that_has_ended_holds_up_no_round() -> None:
    dialogue = side_by_side([counting("a", 1), counting("c", 3)])
    rounds = [dialogue.send(None)]
    reply = Completion(text="x", finish_reason="end", prompt_tokens=1, tokens=1)
    while True:
        try:
            rounds.append(dialogue.send((reply,) * len(rounds[-1])))  # type: ignore[arg-type]  # all are tuples
        except StopIteration as stop:
            assert stop.value == ("x", "x")
            break
    assert [[ask.student for ask in asks] for asks in rounds] == [["a", "c"], ["c", "b"], ["c"]]  # type: ignore[union-attr]  # the same


def test_nothing_side_by_side_asks_nothing() -> None:
    with pytest.raises(StopIteration) as stop:
        next(side_by_side([]))
    assert stop.value.value == ()


def test_a_teller_hears_every_ask_with_its_reply_and_changes_nothing() -> None:
    heard: list[tuple[str, str]] = []
    plain = drive_all(counting("a", 4))
    listened = drive_all(told(counting("a", 4), lambda ask, reply: heard.append((ask.student, reply.text))))
    assert listened == plain
    assert heard == list(zip("aabaab", plain[1], strict=True))


def test_a_sampling_is_given_to_asks_that_carry_none() -> None:
    own, given = Sampling(seed=4), Sampling(temperature=0.5)

    def dialogue() -> Dialogue:
        yield (Ask("a", P), Ask("b", P, own))
        return Solution(text="")

    asks = with_sampling(dialogue(), given).send(None)
    assert [ask.sampling for ask in asks] == [given, own]  # type: ignore[union-attr]  # a combinator yields tuples


def test_seeds_differ_by_place_and_by_the_seed_they_come_from_and_change_nothing_else() -> None:
    of = Sampling(temperature=0.7, top_p=0.9, max_tokens=7)
    made = [reseeded(of.model_copy(update={"seed": seed}), *place) for seed in (0, 1) for place in ((0,), (1,), (0, 1))]
    assert len({one.seed for one in made}) == 6
    assert all(0 <= one.seed < 2**31 for one in made)
    assert {one.model_copy(update={"seed": 0}) for one in made} == {of}
    assert reseeded(of, 3) == reseeded(of, 3)


# --- the calculator

Script = Callable[[Prompt], str]


def calculated(
    script: Script, *, own: Sampling | None = None, sampling: Sampling | None = None, context: int = 1000
) -> tuple[Solution, tuple[Turn, ...]]:
    """Let a scripted student answer one ask beside a calculator."""
    sampling = sampling or Sampling()
    dialogue = with_calculator(one_ask(own), sampling)
    [finished] = drive([("1", dialogue)], {"cot": ScriptedEngine(script, context=context)}, sampling=sampling)
    return finished.result, finished.turns


def writing(text: str) -> Script:
    """A student that goes on with its own text, however long what it has begun has become."""
    ends = [found.end() for found in re.finditer(">>", text)]

    def script(prompt: Prompt) -> str:
        return text[ends[prompt.begun.count(">>") - 1] :] if ">>" in prompt.begun else text

    return script


def test_a_wrong_value_is_replaced_and_what_follows_builds_on_it() -> None:
    def script(prompt: Prompt) -> str:
        if not prompt.begun:
            return "Half of 48 is <<48/2=25>>25."
        value = prompt.begun.rpartition("=")[2].removesuffix(">>")
        return f"{value}, so {value} #### {value}"

    solution, turns = calculated(script)
    assert solution.text == "Half of 48 is <<48/2=24>>24, so 24 #### 24"
    assert (solution.marks, solution.marks_changed) == (1, 1)
    assert [turn.begun for turn in turns] == ["", "Half of 48 is <<48/2=24>>"]
    assert turns[0].text == "Half of 48 is <<48/2=25>>", "a turn keeps what the student wrote itself"


def test_each_of_several_marks_is_checked_and_the_right_ones_stay() -> None:
    solution, turns = calculated(writing("a <<1+1=2>>2 b <<2*3=5>>5 c <<10-4=6>>6 d <<9/3=4>>4."))
    assert solution.text == "a <<1+1=2>>2 b <<2*3=6>>5 c <<10-4=6>>6 d <<9/3=3>>4."
    assert (solution.marks, solution.marks_changed, solution.unfinished) == (4, 2, "end")
    assert len(turns) == 5


@pytest.mark.parametrize(
    "text",
    [
        "no mark at all",
        "x >> y and z",  # nothing was opened
        "<<n+1=5>>5 apples",  # not calculable
        "<<1/0=3>>3",
        "<<12>>12",  # no equation
        "<<1+1=2",  # never closed
        "a << b >> c",
        "<<10/3=3.33>>3.33 each",  # rounded, and so right
        "<<1+1=2>>>> 2",
    ],
)
def test_what_is_no_wrong_mark_is_left_as_it_is(text: str) -> None:
    solution, _ = calculated(writing(text))
    assert (solution.text, solution.marks_changed, solution.unfinished) == (text, 0, "end")


def test_only_marks_that_the_calculator_can_tell_count_as_checked() -> None:
    solution, _ = calculated(writing("x >> y <<n+1=5>>5 <<12>>12 <<1+1=2>>2 <<1+1=3>>3"))
    assert (solution.marks, solution.marks_changed) == (2, 1)


def test_the_tokens_of_an_ask_are_shared_over_its_interruptions() -> None:
    text = "a b <<1+1=2>> c d <<1+2=3>> e f g h"
    whole, turns = calculated(writing(text), sampling=Sampling(max_tokens=11))
    assert (whole.text, whole.unfinished) == (text, "end")
    assert sum(turn.tokens for turn in turns) == 11
    cut, turns = calculated(writing(text), sampling=Sampling(max_tokens=8))
    assert (cut.text.split(), cut.unfinished) == (["a", "b", "<<1+1=2>>", "c", "d", "<<1+2=3>>", "e", "f"], "length")
    assert sum(turn.tokens for turn in turns) == 8


def test_a_mark_that_takes_the_last_token_ends_in_length_and_is_still_right() -> None:
    solution, turns = calculated(writing("a b <<1+1=3>> c"), sampling=Sampling(max_tokens=3))
    assert (solution.text, solution.unfinished) == ("a b <<1+1=2>>", "length")
    assert len(turns) == 1


def test_a_text_that_fills_the_context_is_cut_for_its_length() -> None:
    solution, _ = calculated(writing("a b <<1+1=2>> c d"), context=4)
    assert (solution.text, solution.unfinished) == ("a b <<1+1=2>>", "length")
    solution, _ = calculated(writing("a"), context=1)
    assert (solution.text, solution.unfinished) == ("", "prompt_too_long")


def test_the_students_own_stop_strings_still_stop_it() -> None:
    own = Sampling(stop=("STOP", "\n"))
    solution, _ = calculated(writing("a <<1+1=3>>2 b STOP c <<1+1=2>>"), own=own)
    assert (solution.text, solution.unfinished, solution.marks) == ("a <<1+1=2>>2 b STOP", "stop_string", 1)


def test_a_student_that_is_to_stop_at_a_mark_stops_there_and_the_mark_is_right() -> None:
    solution, _ = calculated(writing("a <<1+1=3>>3 b"), own=Sampling(stop=(">>",)))
    assert (solution.text, solution.unfinished) == ("a <<1+1=2>>", "stop_string")


def test_an_asks_own_sampling_is_kept_but_for_the_stops_and_the_tokens_left() -> None:
    own = Sampling(max_tokens=9, temperature=0.5, top_p=0.9, seed=4, stop=("!",))
    dialogue = with_calculator(one_ask(own), Sampling())
    (first,) = dialogue.send(None)  # type: ignore[misc]  # a combinator yields tuples
    assert first.sampling == own.model_copy(update={"stop": ("!", ">>")})
    written = Completion(text="a <<1+1=2>>", finish_reason="stop_string", prompt_tokens=2, tokens=4)
    (second,) = dialogue.send((written,))  # type: ignore[misc]  # the same
    assert second.sampling == own.model_copy(update={"stop": ("!", ">>"), "max_tokens": 5})
    assert second.prompt == Prompt(pieces=P.pieces, begun="a <<1+1=2>>")


def test_asks_made_together_are_interrupted_each_by_itself() -> None:
    scripts = {"a": writing("a <<1+1=3>>2 and <<2+2=4>>4"), "b": writing("no marks")}
    dialogue = with_calculator(two_together(), Sampling())
    engines = {name: ScriptedEngine(script) for name, script in scripts.items()}
    [finished] = drive([("1", dialogue)], engines, sampling=Sampling())
    assert finished.result.text == "a <<1+1=2>>2 and <<2+2=4>>4 | no marks"
    assert (finished.result.marks, finished.result.marks_changed) == (2, 1)
    assert [turn.student for turn in finished.turns] == ["a", "b", "a", "a"]


def test_a_dialogue_is_sent_one_completion_with_all_tokens_and_the_first_prompts_length() -> None:
    seen: list[Completion] = []

    def dialogue() -> Dialogue:
        seen.append((yield Ask("cot", P)))
        return Solution(text="")

    script = writing("a <<1+1=2>> b c")
    list(drive([("1", with_calculator(dialogue(), Sampling()))], {"cot": ScriptedEngine(script)}, sampling=Sampling()))
    assert seen == [Completion(text="a <<1+1=2>> b c", finish_reason="end", prompt_tokens=2, tokens=5)]


PARTS = ["<<1+1=2>>", "<<1+1=3>>", "<<7/2=3.5>>", "<<x=1>>", ">>", "<<", " word", ".", "\n", "=", "5"]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_whatever_a_student_writes_ends_and_all_but_wrong_values_is_kept(parts: Sequence[str]) -> None:
    text = "".join(parts)
    solution, _ = calculated(writing(text), sampling=Sampling(max_tokens=1000))
    assert solution.unfinished == "end"
    assert solution.marks_changed <= solution.marks
    if solution.marks_changed == 0:
        assert solution.text == text
    assert solution.text.replace("1+1=2>>", "1+1=3>>") == text.replace("1+1=2>>", "1+1=3>>")
