"""Our own OpenAI-compatible server: the test double of the `openai` engine, and what benchmarks ask.

    python tests/scripted_server.py --port 8000 --latency 1

It writes its address on a line of its own, and answers until it is ended.
"""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from socratic_distill.engines.scripted import Script, ScriptedEngine
from socratic_distill.records import Completion, Prompt, Sampling


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: an HTTP status, a broken reply, or none at all."""

    how: Literal["status", "reset", "truncated", "not_json", "no_choices", "no_usage", "hang"] = "status"
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "something went wrong"


class ScriptedServer:
    """Answers by a script, as `ScriptedEngine` does: a word is a token, and a prompt is the messages' texts.

        with ScriptedServer(lambda prompt: "four #### 4") as server:
            OpenAIEngine(Server(base_url=server.base_url), "any", ...)

    `fault` is given the number of a request, from 0, and says what goes wrong with it. Tokens are billed as a request
    arrives, whether or not its reply gets through; one refused with a status below 500 is not billed. Plain prompts
    are pieces joined by blank lines, the last of them begun.
    """

    def __init__(
        self,
        script: Script,
        *,
        latency: float = 0.0,
        context: int = 1_000_000,
        key: str = "",
        fault: Callable[[int], Fault | None] = lambda number: None,
        dies_after: int | None = None,
        reasoning: str = "",
        names_stop: bool = True,
        bytes_are_tokens: bool = False,
        port: int = 0,
        keep_bodies: bool = True,
    ) -> None:
        self.script, self.latency, self.context, self.key, self.fault = script, latency, context, key, fault
        self.dies_after = dies_after
        """Requests after which it answers nobody any more."""
        self.reasoning = reasoning
        """What it says to have thought; its words are output too."""
        self.names_stop = names_stop
        """It says which stop string it met, as vLLM does; the text never holds it."""
        self.bytes_are_tokens = bytes_are_tokens
        """Bill a prompt at the most that a template and a tokenizer can make of it."""
        self.keep_bodies = keep_bodies
        self.bodies: list[dict[str, Any]] = []
        """What every request held, in order, the refused ones too."""
        self.requests = self.billed_input = self.billed_output = 0
        self.open = self.most_open = 0
        """Requests that it is at, and the most at a time."""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stopped = asyncio.Event()

    @property
    def base_url(self) -> str:
        """Return its address, up to and with the version."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the scripted server did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(30)

    def forget(self) -> None:
        """Forget what was asked and billed."""
        self.bodies.clear()
        self.requests = self.billed_input = self.billed_output = self.most_open = 0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.serve())
        self._loop.close()

    async def serve(self, started: Callable[[], object] = lambda: None) -> None:
        """Answer until it is told to stop; `started` is called once it has an address."""
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
        await runner.setup()
        self._site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await self._site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        started()
        await self._stopped.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        number, self.requests = self.requests, self.requests + 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            body = json.loads(await request.read())
            if self.keep_bodies:
                self.bodies.append(body)
            return await self._reply(request, body, number)
        finally:
            self.open -= 1

    async def _reply(self, request: web.Request, body: dict[str, Any], number: int) -> web.StreamResponse:
        fault = self.fault(number)
        if self.dies_after is not None and number >= self.dies_after:
            fault = Fault("reset")
            with suppress(RuntimeError):  # it is closed already
                await self._site.stop()
        shown = request.headers.get("Authorization", "")
        if self.key and shown != f"Bearer {self.key}":
            return _error(401, f"Incorrect API key provided: {shown}.")
        if fault and fault.how == "status" and fault.status < 500:
            return _error(fault.status, fault.message, fault.headers)
        completion = self._complete(body)
        if completion.finish_reason == "prompt_too_long":
            message = f"This model's maximum context length is {self.context} tokens."
            code = {"code": "context_length_exceeded", "n_prompt_tokens": completion.prompt_tokens}
            return _error(400, message, **code)
        self.billed_input += completion.prompt_tokens
        self.billed_output += completion.tokens
        if self.latency:
            await asyncio.sleep(self.latency)
        reply = self._written(body, completion)
        match fault.how if fault else "":
            case "status":
                assert fault is not None
                return _error(fault.status, fault.message, fault.headers)
            case "reset":
                assert request.transport is not None
                request.transport.abort()
            case "hang":
                await self._stopped.wait()
            case "truncated":
                return await _truncated(request, json.dumps(reply).encode())
            case "not_json":
                return web.Response(text=json.dumps(reply)[:-9], content_type="application/json")
            case "no_choices":
                return web.json_response({"error": {"message": "upstream gave up"}})
            case "no_usage":
                del reply["usage"]
        return web.json_response(reply)

    def _complete(self, body: Mapping[str, Any]) -> Completion:
        if "messages" in body:
            prompt = Prompt(pieces=tuple(message["content"] for message in body["messages"]))
        else:
            *pieces, begun = str(body["prompt"]).split("\n\n")
            prompt = Prompt(pieces=tuple(pieces), begun=begun)
        thought = len(self.reasoning.split())
        most = body.get("max_completion_tokens", body.get("max_tokens", self.context))
        engine = ScriptedEngine(self.script, context=self.context)
        engine.submit("", prompt, Sampling(max_tokens=max(1, most - thought), stop=tuple(body.get("stop", ()))))
        [(_, completion)] = engine.poll()
        read = completion.prompt_tokens
        if self.bytes_are_tokens:
            read = sum(len(piece.encode()) for piece in prompt.pieces) + 16 * len(prompt.pieces) + 512
        return completion.model_copy(update={"prompt_tokens": read, "tokens": completion.tokens + thought})

    def _written(self, body: Mapping[str, Any], completion: Completion) -> dict[str, Any]:
        text, met = completion.text, None
        if completion.finish_reason == "stop_string":
            met = next(stop for stop in body["stop"] if text.endswith(stop))
            text = text.removesuffix(met)
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length" if completion.finish_reason == "length" else "stop",
        }
        if self.names_stop:
            choice["stop_reason"] = met
        if "messages" in body:
            choice["message"] = {"role": "assistant", "content": text, "reasoning_content": self.reasoning or None}
        else:
            choice["text"] = text
        read, written = completion.prompt_tokens, completion.tokens
        return {
            "object": "chat.completion" if "messages" in body else "text_completion",
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }


def _error(status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status, headers=headers)


async def _truncated(request: web.Request, content: bytes) -> web.StreamResponse:
    """Promise a whole reply, write the half of it, and hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


def main() -> None:
    """Serve in this process."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server that answers every request alike.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--text", default="There are 4*5 = 20 apples. #### 20", help="what it replies")
    options = parser.parse_args()
    server = ScriptedServer(lambda prompt: options.text, latency=options.latency, port=options.port, keep_bodies=False)

    with suppress(KeyboardInterrupt):
        asyncio.run(server.serve(lambda: (sys.stdout.write(server.base_url + "\n"), sys.stdout.flush())))


if __name__ == "__main__":
    main()
