"""The driver: many dialogues, few engines, and replies in any order."""

import random
from collections.abc import Iterator, Mapping

import pytest

from socratic_distill.engines import Engine
from socratic_distill.engines.driver import Finished, drive
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.reasoning.dialogue import Ask, Dialogue
from socratic_distill.records import Completion, Prompt, Sampling, Solution

S = Sampling()


def echo(prompt: Prompt) -> str:
    return f"<{prompt.pieces[-1]}>"


class Continuous:
    """A continuous engine: answers one request per poll, drawn at random from those that wait."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._waiting: dict[str, Prompt] = {}
        self.most = 0

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        assert key not in self._waiting, "a key is unique among those that wait"
        self._waiting[key] = prompt
        self.most = max(self.most, len(self._waiting))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        if not self._waiting:
            return []
        key = self._random.choice(list(self._waiting))
        text = echo(self._waiting.pop(key))
        return [(key, Completion(text=text, finish_reason="end", prompt_tokens=1, tokens=2))]


def rounds(text: str, count: int) -> Dialogue:
    """Ask two students by turns, each ask building on the reply before; every third time ask both at once."""
    for turn in range(count):
        if turn % 3 == 2:
            both: tuple[Completion, ...] = yield tuple(Ask(who, Prompt(pieces=(f"{text}{who}",))) for who in "ab")
            text = "".join(reply.text for reply in both)
        else:
            reply: Completion = yield Ask("ab"[turn % 2], Prompt(pieces=(text,)))
            text = reply.text
    return Solution(text=text)


def some() -> Iterator[tuple[str, Dialogue]]:
    """Twelve dialogues of nought to four rounds, under keys that hold colons."""
    return ((f"own:{place}", rounds(f"p{place}", place % 5)) for place in range(12))


def by_key(engines: Mapping[str, Engine], *, window: int = 64) -> dict[str, Finished]:
    finished = list(drive(some(), engines, sampling=S, window=window))
    assert len({one.key for one in finished}) == len(finished) == 12
    return {one.key: one for one in finished}


@pytest.mark.parametrize("window", [1, 2, 5, 64])
def test_neither_window_nor_engines_nor_the_order_of_replies_changes_what_a_dialogue_gets(window: int) -> None:
    alone = by_key(dict.fromkeys("ab", ScriptedEngine(echo)), window=1)
    for seed in range(5):
        one = Continuous(seed)
        others: tuple[Engine, ...] = (one, Continuous(seed + 100), ScriptedEngine(echo))
        for other in others:
            driven = by_key({"a": one, "b": other}, window=window)
            for key, finished in driven.items():
                assert finished.result == alone[key].result
                assert [(turn.student, turn.text) for turn in finished.turns] == [
                    (turn.student, turn.text) for turn in alone[key].turns
                ], "turns stand in the order of their asks"


@pytest.mark.parametrize("window", [1, 3])
def test_no_more_dialogues_are_open_than_the_window_has_room_for(window: int) -> None:
    opened = most = 0

    def counted(dialogue: Dialogue) -> Dialogue:
        nonlocal opened, most
        opened += 1
        most = max(most, opened)
        solution = yield from dialogue
        opened -= 1
        return solution

    engine = Continuous(0)
    dialogues = ((key, counted(dialogue)) for key, dialogue in some())
    assert len(list(drive(dialogues, {"a": engine, "b": engine}, sampling=S, window=window))) == 12
    assert most == window
    assert engine.most <= 2 * window, "two asks together are of one dialogue"


def test_a_next_dialogue_is_drawn_only_when_there_is_room_for_it() -> None:
    drawn: list[int] = []

    def coming() -> Iterator[tuple[str, Dialogue]]:
        for place in range(6):
            drawn.append(place)
            yield str(place), rounds("p", 1)

    finished = drive(coming(), dict.fromkeys("ab", Continuous(0)), sampling=S, window=2)
    assert drawn == []
    next(finished)
    assert drawn == [0, 1]
    next(finished)
    assert drawn == [0, 1, 2]
    list(finished)
    assert drawn == list(range(6))


def test_dialogues_that_ask_nothing_end_at_once_however_many() -> None:
    dialogues = ((str(place), rounds("p", 0)) for place in range(5000))
    finished = list(drive(dialogues, {}, sampling=S, window=2))
    assert [one.key for one in finished] == [str(place) for place in range(5000)]
    assert all(one.turns == () and one.result == Solution(text="p") for one in finished)


def test_no_dialogues_give_nothing() -> None:
    assert list(drive([], {"a": Continuous(0)}, sampling=S)) == []


def test_an_empty_tuple_of_asks_is_answered_by_an_empty_tuple() -> None:
    def dialogue() -> Dialogue:
        nothing: tuple[Completion, ...] = yield ()
        reply: Completion = yield Ask("a", Prompt(pieces=(str(nothing),)))
        again: tuple[Completion, ...] = yield ()
        return Solution(text=f"{reply.text}{again}")

    [finished] = drive([("1", dialogue())], {"a": Continuous(0)}, sampling=S)
    assert finished.result.text == "<()>()"
    assert len(finished.turns) == 1


def test_one_ask_in_a_tuple_is_answered_by_a_tuple() -> None:
    def dialogue() -> Dialogue:
        replies: tuple[Completion, ...] = yield (Ask("a", Prompt(pieces=("x",))),)
        return Solution(text=str(len(replies)))

    [finished] = drive([("1", dialogue())], {"a": Continuous(0)}, sampling=S)
    assert finished.result.text == "1"


def test_asks_that_carry_no_sampling_take_that_of_the_drive() -> None:
    taken: list[Sampling] = []

    class Recording(Continuous):
        def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
            taken.append(sampling)
            super().submit(key, prompt, sampling)

    def dialogue() -> Dialogue:
        yield (Ask("a", Prompt(pieces=("x",)), Sampling(seed=7)), Ask("a", Prompt(pieces=("x",))))
        return Solution(text="")

    list(drive([("1", dialogue())], {"a": Recording(0)}, sampling=Sampling(seed=3)))
    assert taken == [Sampling(seed=7), Sampling(seed=3)]


def test_a_turn_keeps_what_was_begun_and_what_came_back() -> None:
    def dialogue() -> Dialogue:
        reply: Completion = yield Ask(
            "a", Prompt(pieces=("How many pens?",), begun="There are"), Sampling(max_tokens=2)
        )
        return Solution(text=reply.text, unfinished=reply.finish_reason)

    [finished] = drive([("1", dialogue())], {"a": ScriptedEngine(lambda prompt: "six of them")}, sampling=S)
    [turn] = finished.turns
    assert (turn.student, turn.begun, turn.text) == ("a", "There are", "six of")
    assert (turn.finish_reason, turn.prompt_tokens, turn.tokens) == ("length", 5, 2)


def test_an_engine_is_polled_once_a_round_whoever_it_plays() -> None:
    class Counting(ScriptedEngine):
        polls = 0

        def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
            self.polls += 1
            return super().poll()

    engine = Counting(echo)
    list(drive([("1", rounds("p", 2))], {"a": engine, "b": engine}, sampling=S))
    assert engine.polls == 2
