"""What servers reply, in the shapes that they have, and what is made of it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from socratic_distill.engines.allowance import Usage
from socratic_distill.engines.replies import Failure, read_reply
from socratic_distill.records import Completion

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def read(
    reply: Any, status: int = 200, *, chat: bool = True, stop: tuple[str, ...] = (), **headers: str
) -> tuple[Completion | Failure, Usage | None]:
    raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_reply(raw, status, headers=named, chat=chat, stop=stop)


def completion(reply: Any, **how: Any) -> Completion:
    outcome, _ = read(reply, **how)
    assert isinstance(outcome, Completion)
    return outcome


def failure(reply: Any, status: int = 200, **headers: str) -> Failure:
    outcome, _ = read(reply, status, **headers)
    assert isinstance(outcome, Failure)
    return outcome


def chat(text: Any, usage: Any = USAGE, **choice: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}],
        "usage": usage,
    }


def plain(text: str, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": "stop", **choice}], "usage": USAGE}


def test_a_chats_text_and_tokens_are_read() -> None:
    expected = Completion(text="four", finish_reason="end", prompt_tokens=7, tokens=3)
    assert read(chat("four")) == (expected, Usage(input_tokens=7, output_tokens=3))
    assert completion(plain("four"), chat=False) == expected


@pytest.mark.parametrize("reply", [chat(None), {"choices": [{"message": {}}]}, {"choices": [{}]}, chat(17), chat([])])
def test_a_reply_without_content_is_an_empty_text(reply: dict[str, Any]) -> None:
    assert completion(reply).text == ""


def test_a_text_in_parts_is_joined_and_thoughts_are_left_out() -> None:
    parts = [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "fo"}, {"text": "ur"}]
    assert completion(chat(parts)).text == "four"
    thought = {"message": {"content": "four", "reasoning_content": "two and two", "reasoning": "hm"}}
    assert completion({"choices": [thought]}).text == "four"


def test_half_of_a_surrogate_pair_is_replaced_so_that_a_file_can_hold_the_text() -> None:
    assert (
        completion(chat("pears \ud83d, 7")).text == completion(chat([{"text": "pears \ud83d, 7"}])).text == "pears �, 7"
    )
    assert "no \ufffd" in failure({"error": {"message": "no \ud83d"}}, 400).detail


def test_a_text_cut_for_length_says_so() -> None:
    assert completion(chat("fo", finish_reason="length")).finish_reason == "length"


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_a_stop_string_that_the_server_dropped_and_names_is_put_back(name: str) -> None:
    stopped = completion(chat("2+2=", **{name: ">>"}), stop=("<<", ">>"))
    assert (stopped.text, stopped.finish_reason) == ("2+2=>>", "stop_string")


@pytest.mark.parametrize("text", ["2+2=>>", "2+2=>> and <<more>>"])
def test_a_text_is_cut_behind_the_first_stop_string(text: str) -> None:
    stopped = completion(chat(text), stop=("~", ">>"))
    assert (stopped.text, stopped.finish_reason) == ("2+2=>>", "stop_string")


@pytest.mark.parametrize("reason", [None, 128_009, "</s>"])
def test_another_reason_to_stop_is_the_end(reason: Any) -> None:
    ended = completion(chat("four", stop_reason=reason), stop=(">>",))
    assert (ended.text, ended.finish_reason) == ("four", "end")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (USAGE, Usage(input_tokens=7, output_tokens=3)),
        (
            {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(input_tokens=7, cached_tokens=4, output_tokens=3),
        ),
        (
            {**USAGE, "prompt_tokens_details": {"cached_tokens": 40}},
            Usage(input_tokens=7, cached_tokens=7, output_tokens=3),
        ),
        ({**USAGE, "prompt_tokens_details": None}, Usage(input_tokens=7, output_tokens=3)),
        ({**USAGE, "total_tokens": 50}, Usage(input_tokens=7, output_tokens=43)),  # reasoning in the total alone
        ({"prompt_tokens": 7, "completion_tokens": 0}, Usage(input_tokens=7, output_tokens=0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": 7}, None),
        ({"prompt_tokens": "7", "completion_tokens": -1}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_what_the_server_counts_and_unknown_where_it_does_not(usage: Any, expected: Usage | None) -> None:
    outcome, used = read(chat("four", usage=usage))
    assert used == expected
    assert isinstance(outcome, Completion)
    assert (outcome.prompt_tokens, outcome.tokens) == (
        (expected.input_tokens, expected.output_tokens) if expected else (0, 0)
    )


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"<html>",
        b'{"choices": [{"mess',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b"7",
        {},
        {"choices": []},
        {"choices": [1]},
    ],
)
def test_a_reply_that_can_not_be_read_is_asked_for_again_and_may_have_cost(reply: Any) -> None:
    outcome, usage = read(reply)
    assert isinstance(outcome, Failure) and outcome.again
    assert usage is None


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_asked_again(status: int) -> None:
    assert failure({"error": {"message": "busy"}}, status) == Failure(f"HTTP {status}: busy", status)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_what_stays_is_not_asked_again_and_costs_nothing(status: int) -> None:
    outcome, usage = read({"error": {"message": "no"}}, status)
    assert outcome == Failure(f"HTTP {status}: no", status, again=False)
    assert usage == Usage()


@pytest.mark.parametrize(("status", "known"), [(429, True), (409, True), (408, False), (500, False), (503, False)])
def test_a_server_that_may_have_worked_may_have_billed(status: int, known: bool) -> None:
    assert (read({}, status)[1] == Usage()) == known


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"object": "error", "message": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ({"detail": [{"loc": "x"}]}, '{"detail": [{"loc": "x"}]}'),
        (b"plain \xff", "plain \ufffd"),
    ],
)
def test_errors_of_any_shape_say_something(reply: Any, message: str) -> None:
    assert failure(reply, 400).detail == f"HTTP 400: {message}"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"message": "no", "code": "context_length_exceeded"}, "prompt_too_long"),
        ({"message": "This model's maximum context length is 96 tokens. You asked for 120."}, "prompt_too_long"),
        ({"message": "the request exceeds the available context size", "n_prompt_tokens": 120}, "prompt_too_long"),
        ({"message": "Prompt is too long: 300 tokens"}, "prompt_too_long"),
        ({"message": "temperature must be in the range 0 to 2"}, "failed"),
        ({"message": "max_tokens is too large"}, "failed"),
    ],
)
def test_too_long_a_prompt_is_told_from_other_refusals(error: dict[str, Any], reason: str) -> None:
    refused = failure({"error": error}, 400)
    assert refused.finish_reason == reason
    assert refused.prompt_tokens == error.get("n_prompt_tokens", 0)
    assert failure({"error": error}, 429).finish_reason == "failed"


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", 0), ("", 0), ("inf", 0), ("nan", 0)]
)
def test_a_server_says_in_seconds_when_to_come_again(said: str, seconds: float) -> None:
    assert failure({}, 429, Retry_After=said).wait == seconds


def test_a_server_says_by_a_date_when_to_come_again() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 28 <= failure({}, 503, Retry_After=format_datetime(soon, usegmt=True)).wait <= 30
    past = soon - timedelta(days=1)
    assert failure({}, 503, Retry_After=format_datetime(past, usegmt=True)).wait == 0
