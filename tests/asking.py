"""How tests ask the `openai` engine of our own server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripted_server import Fault, ScriptedServer

from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine, Render
from socratic_distill.recipe import Server
from socratic_distill.records import Completion, Prompt, Sampling

SAMPLING = Sampling(max_tokens=20)


def echo(prompt: Prompt) -> str:
    return f"I read: {prompt.pieces[-1]}"


def settings(server: ScriptedServer, **changed: Any) -> Server:
    return Server.model_validate({"base_url": server.base_url, "timeout": 20, "concurrency": 8, "tries": 3, **changed})


@contextmanager
def engine_for(
    server: ScriptedServer,
    *,
    allowance: Allowance | None = None,
    schema: dict[str, Any] | None = None,
    render: Render | None = None,
    backoff: float = 0.01,
    **changed: Any,
) -> Iterator[OpenAIEngine]:
    with OpenAIEngine(
        settings(server, **changed),
        "teacher",
        allowance=allowance or Allowance(),
        schema=schema,
        render=render,
        backoff=backoff,
    ) as engine:
        yield engine


def prompts(count: int) -> dict[str, Prompt]:
    return {f"key {number}": Prompt(pieces=(f"question {number}",)) for number in range(count)}


def ask_all(
    engine: OpenAIEngine,
    asked: dict[str, Prompt],
    sampling: Sampling = SAMPLING,
    into: dict[str, Completion] | None = None,
) -> dict[str, Completion]:
    """Submit all and poll until nothing comes; `into` keeps what came before an error."""
    ended: dict[str, Completion] = {} if into is None else into
    for key, prompt in asked.items():
        engine.submit(key, prompt, sampling)
    while finished := engine.poll():
        for key, completion in finished:
            assert key not in ended, "each key comes back once"
            ended[key] = completion
    return ended


def ask(engine: OpenAIEngine, *pieces: str, begun: str = "", sampling: Sampling = SAMPLING) -> Completion:
    [completion] = ask_all(engine, {"key": Prompt(pieces=pieces, begun=begun)}, sampling).values()
    return completion


def faults(*wrong: Fault | None) -> Callable[[int], Fault | None]:
    """Let the first requests go wrong, one by one."""
    return lambda number: wrong[number] if number < len(wrong) else None
