"""Reads what OpenAI-compatible servers reply: a completion, or why there is none, and what it has cost. Pure."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from socratic_distill.engines.allowance import Usage
from socratic_distill.records import Completion, FinishReason

TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|(prompt|input) (is )?too long|too many (input |prompt )?tokens", re.IGNORECASE
)


@dataclass(frozen=True)
class Failure:
    """Why a try has no completion."""

    detail: str
    """As the server said it: of any length, over any number of lines."""
    status: int = 0
    """HTTP; 0 where no whole reply came."""
    again: bool = True
    """Another try may help."""
    wait: float = 0.0
    """Seconds that the server asks for before that."""
    finish_reason: FinishReason = "failed"
    prompt_tokens: int = 0


def read_reply(
    raw: bytes, status: int, *, headers: Mapping[str, str], chat: bool, stop: tuple[str, ...]
) -> tuple[Completion | Failure, Usage | None]:
    """Read a reply; the usage is None where the server may bill what it doesn't tell.

    A text is cut behind the first of the strings `stop`, and one that the server has dropped and names is put back.
    """
    try:
        payload: Any = json.loads(raw)
    except (ValueError, RecursionError):
        payload = None
    if not 200 <= status < 300:
        unclear = status in (408, 499) or status >= 500  # the server may have worked before it gave up
        return _refusal(payload, raw, status, headers), None if unclear else Usage()
    usage = _usage(payload)
    choice = _at(payload, "choices", 0)
    if not isinstance(choice, dict):
        what = "has no choices" if payload is not None else "is not JSON"
        return Failure(f"the reply {what}: {_message(payload, raw)}", status), usage
    text = _text(_at(choice, "message", "content") if chat else choice.get("text"))
    text, finish_reason = _ended(text, choice, stop)
    return (
        Completion(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=usage.input_tokens if usage else 0,
            tokens=usage.output_tokens if usage else 0,
        ),
        usage,
    )


def _ended(text: str, choice: Mapping[str, Any], stop: tuple[str, ...]) -> tuple[str, FinishReason]:
    if met := [text.find(one) + len(one) for one in stop if one in text]:
        return text[: min(met)], "stop_string"
    named = choice.get("stop_reason", choice.get("matched_stop"))  # vLLM, SGLang
    if isinstance(named, str) and named in stop:
        return text + named, "stop_string"
    return text, "length" if choice.get("finish_reason") == "length" else "end"


def _text(content: Any) -> str:
    """Return a text given whole or in parts, without what a model has reasoned."""
    if isinstance(content, list):
        return "".join(_text(_at(part, "text")) for part in content)
    return _valid(content) if isinstance(content, str) else ""


def _valid(text: str) -> str:
    """Replace surrogates without a partner, which JSON can hold and no file can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _usage(payload: Any) -> Usage | None:
    read, written = _count(payload, "prompt_tokens"), _count(payload, "completion_tokens")
    if not read or written is None:  # a server that counts nothing reports zeros
        return None
    # Some leave reasoning out of the completion's tokens, and in the total.
    written = max(written, (_count(payload, "total_tokens") or 0) - read)
    cached = _count(payload, "prompt_tokens_details", "cached_tokens") or 0
    return Usage(input_tokens=read, cached_tokens=min(cached, read), output_tokens=written)


def _count(payload: Any, *path: str) -> int | None:
    count = _at(payload, "usage", *path)
    return count if isinstance(count, int) and count >= 0 else None


def _refusal(payload: Any, raw: bytes, status: int, headers: Mapping[str, str]) -> Failure:
    message = _message(payload, raw)
    error = _at(payload, "error")
    too_long = status in (400, 413, 422) and (
        _at(error, "code") == "context_length_exceeded" or TOO_LONG.search(message) is not None
    )
    prompt_tokens = _at(error, "n_prompt_tokens")  # llama.cpp
    return Failure(
        f"HTTP {status}: {message}",
        status,
        again=status in (408, 409, 429) or status >= 500,
        wait=_seconds(headers.get("Retry-After", "")),
        finish_reason="prompt_too_long" if too_long else "failed",
        prompt_tokens=prompt_tokens if isinstance(prompt_tokens, int) else 0,
    )


def _message(payload: Any, raw: bytes) -> str:
    """Return what an error says, in the shapes that servers have; else the reply as it is."""
    for path in (("error", "message"), ("error",), ("message",), ("detail",)):
        if isinstance(message := _at(payload, *path), str) and message:
            return _valid(message)
    return raw.decode(errors="replace")


def _seconds(retry_after: str) -> float:
    """Read a Retry-After header: seconds, or a date. Source: RFC 9110, 10.2.3."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _at(content: Any, *path: str | int) -> Any:
    """Follow a path into JSON; None where it leads nowhere."""
    for step in path:
        if isinstance(step, str):
            content = content.get(step) if isinstance(content, dict) else None
        else:
            content = content[step] if isinstance(content, list) and len(content) > step else None
    return content
