"""Any OpenAI-compatible server as an engine: hosted APIs, vLLM, SGLang, llama.cpp, Ollama, `transformers serve`.

An event loop in a thread of its own holds what is in flight. A server that drops the stop string which it met, and does
not name it (`stop_reason`, `matched_stop`), leaves a text that looks as if the model had ended it.
"""

import asyncio
import json
import math
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiohttp

from socratic_distill.engines.access import checked_address, key_in, proxy_for
from socratic_distill.engines.allowance import Purse, Reservation, Usage
from socratic_distill.engines.replies import Failure, read_reply
from socratic_distill.errors import UserError
from socratic_distill.recipe import Server
from socratic_distill.records import Completion, Prompt, Sampling

Render = Callable[[Prompt], str | list[int]]
"""Writes a prompt for plain completions, as text or as the model's own token ids."""

LONGEST_WAIT = 60.0
"""Seconds between two tries, at most, where the server does not ask for more."""
LONGEST_DETAIL = 300
GONE_AFTER = 8
"""Requests in a row without a reply, all their tries made, from which the server is taken to be gone."""
OWN_FIELDS = {"model", "messages", "prompt", "n", "best_of", "stream", "max_tokens", "max_completion_tokens"}
"""What a recipe's further fields may not set: replies could not be read, or the ceiling not kept."""
REMEDIES = {
    401: "check the key that server.key_env names",
    402: "check the account",
    403: "check the key that server.key_env names, and what it may use",
    404: "check server.base_url and the model's name",
}
"""Refusals that meet every request, where nothing has been answered yet."""
GONE = (0, 401, 402)
"""No reply at all, a key or an account that is not good any more: signs that no request will be answered."""


class OpenAIEngine:
    """Asks one model of a server, many requests at once. Use it as a context manager, or close it.

    `schema` is the JSON schema that replies are held to, where the server has that; `render` writes prompts for plain
    completions; `backoff` is the seconds before a second try, doubled before each that follows. Raises UserError where
    the address, the further fields or the key can't be used.
    """

    def __init__(
        self,
        server: Server,
        model: str,
        *,
        allowance: Purse,
        schema: Mapping[str, Any] | None = None,
        render: Render | None = None,
        backoff: float = 0.5,
    ) -> None:
        if taken := OWN_FIELDS & server.body.keys():
            raise UserError(f"server.body may not set {', '.join(sorted(taken))}: the engine sets it, or can't read it")
        self._server, self._model, self._allowance, self._backoff = server, model, allowance, backoff
        self._chat = server.api == "chat"
        self._url = checked_address(server.base_url) + ("/chat/completions" if self._chat else "/completions")
        self._key = key_in(server.key_env)
        self._render = render or _joined
        self._schema = schema
        self._waiting = 0  # submitted and not known to be received; only the caller's thread counts
        self._returned = 0  # the first so many of what has ended: the last poll returned them
        self._closed = False
        self._ended: deque[tuple[str, Completion]] = deque()  # the loop's thread appends, the caller's takes
        self._error: Exception | None = None
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        # From here on it is the loop's thread that reads and writes.
        self._asked: asyncio.Queue[tuple[str, Prompt, Sampling]] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._in_flight: set[asyncio.Task[Any] | None] = set()
        self._stopping = self._reached = self._answered = False
        self._outstanding = 0  # taken and not ended
        self._together: list[tuple[str, Completion]] = []  # ended in this turn of the loop
        self._unanswered = 0  # requests in a row whose last try had no reply, or was met by a refusal of everybody
        self._held: list[tuple[str, Completion]] = []  # those of them that wait for a sign of life
        self._loop = asyncio.new_event_loop()
        self._over = threading.Event()
        threading.Thread(target=self._run, name="openai engine", daemon=True).start()

    # --- the caller's thread

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request; it is sent when its turn comes."""
        assert not self._closed, "a closed engine takes nothing"
        self._waiting += 1
        self._call(self._take, (key, prompt, sampling))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Wait until something has ended, or for `timeout` seconds, and return all that has.

        Without a timeout it is empty only where nothing waits, or once closed.
        The first poll after the close also returns what the last before it did, for Ctrl-C may have broken in on its
        way. Raises UserError where the server refuses everybody or answers no more; what had ended before comes first.
        """
        while self._returned and not self._closed:  # the caller is back, so it has received them
            self._ended.popleft()
            self._returned -= 1
            self._waiting -= 1
        until = math.inf if timeout is None else time.monotonic() + timeout
        while self._waiting and not self._ended and self._error is None and not self._closed:
            if (left := until - time.monotonic()) <= 0:
                break
            with suppress(queue.Empty):
                self._news.get(timeout=min(left, 0.5))  # by short waits: Windows lets Ctrl-C through only between them
        finished = [self._ended[place] for place in range(len(self._ended))]
        if self._error is not None and not finished and not self._closed:
            raise self._error
        if self._closed:
            self._ended.clear()
        self._returned = len(finished)
        return finished

    def close(self) -> None:
        """Send nothing more, wait for what is in flight, and stop; `poll` then returns what has ended.

        What was not sent, or would have to be sent again, does not come back: it is as if not asked. A second Ctrl-C
        stops at once.
        """
        if self._closed:
            return
        self._closed = True
        self._call(self._stop)
        try:
            self._wait()
        except BaseException:
            self._call(self._abort)
            self._wait()
            raise

    def _wait(self) -> None:
        while not self._over.wait(0.5):  # no join: Ctrl-C breaks Python 3.11's
            pass

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is over already
            self._loop.call_soon_threadsafe(function, *arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the loop's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:  # else the caller would wait for a dead thread: `poll` raises it
            self._fail(error)
        finally:
            self._hand_over()
            self._loop.close()
            self._over.set()

    async def _main(self) -> None:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._server.concurrency),
            timeout=aiohttp.ClientTimeout(total=self._server.timeout),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy_for(self._url),
        ) as session:
            if not self._stopping:
                self._workers = [asyncio.create_task(self._work(session)) for _ in range(self._server.concurrency)]
                await asyncio.gather(*self._workers, return_exceptions=True)

    def _take(self, request: tuple[str, Prompt, Sampling]) -> None:
        self._outstanding += 1
        self._asked.put_nowait(request)

    def _end(self, key: str, completion: Completion) -> None:
        self._outstanding -= 1
        if not self._together:
            self._loop.call_soon(self._hand_over)  # all of a turn at once: the caller is woken once
        self._together.append((key, completion))
        if len(self._held) == self._outstanding:
            self._release()  # no other request can tell any more whether it is the server

    def _hand_over(self) -> None:
        together, self._together = self._together, []
        if together:
            self._ended.extend(together)
            self._news.put(None)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._news.put(None)

    def _release(self) -> None:
        held, self._held = self._held, []
        for key, completion in held:
            self._end(key, completion)

    def _stop(self) -> None:
        """Let go of all that is not in flight."""
        self._stopping = True
        for worker in self._workers:
            if worker not in self._in_flight:
                worker.cancel()

    def _abort(self) -> None:
        for worker in self._workers:
            worker.cancel()

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping:
            key, prompt, sampling = await self._asked.get()
            try:
                outcome = await self._complete(session, prompt, sampling)
                if isinstance(outcome, Failure):
                    self._give_up(key, outcome)
                elif outcome is not None:
                    self._end(key, outcome)
            except Exception as error:  # the user's mistake or ours: `poll` raises it
                self._hand_over()
                self._fail(error)
                self._stop()
                return

    async def _complete(
        self, session: aiohttp.ClientSession, prompt: Prompt, sampling: Sampling
    ) -> Completion | Failure | None:
        """Ask until there is an answer or no try left; None where the engine is stopped before either."""
        if self._chat and prompt.begun:
            return Failure('a chat can\'t go on with a begun text; use server.api = "completions"', 400)
        body = json.dumps(self._body(prompt, sampling), ensure_ascii=False).encode(errors="replace")
        failure: Failure | None = None
        for number in range(self._server.tries):
            if failure is not None:
                longest = min(LONGEST_WAIT, self._backoff * 2 ** (number - 1))
                await asyncio.sleep(failure.wait + random.uniform(longest / 2, longest))
            reservation = await self._allowance.reserve(
                len(body), messages=len(prompt.pieces), max_tokens=sampling.max_tokens
            )
            if reservation is None:
                return self._over_budget(failure)
            outcome = await self._try(session, body, sampling, reservation)
            if isinstance(outcome, Completion):
                self._answered = True
                return outcome
            failure = outcome
            if failure.status in REMEDIES and not self._answered:
                raise UserError(
                    f"{self._url} refuses {self._model}: {self._clean(failure.detail)}; {REMEDIES[failure.status]}"
                )
            if not failure.again:
                break
            if self._stopping and number + 1 < self._server.tries:
                return None
        return failure

    async def _try(
        self, session: aiohttp.ClientSession, body: bytes, sampling: Sampling, reservation: Reservation
    ) -> Completion | Failure:
        outcome: Completion | Failure
        usage: Usage | None = None
        self._in_flight.add(task := asyncio.current_task())
        try:
            async with session.post(self._url, data=body, allow_redirects=False) as response:
                raw = await response.read()
        except aiohttp.ClientConnectorError as error:
            outcome, usage = Failure(f"no connection: {error}"), Usage()  # nothing was sent
        except TimeoutError:
            outcome = Failure(f"no answer within {self._server.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            outcome = Failure(f"the connection broke off: {str(error) or type(error).__name__}")
        else:
            outcome, usage = read_reply(
                raw, response.status, headers=response.headers, chat=self._chat, stop=sampling.stop
            )
            self._reached = True
            if response.status not in GONE:
                self._unanswered = 0
                self._release()
        finally:
            self._in_flight.discard(task)
        self._allowance.settle(reservation, usage)
        return outcome

    def _give_up(self, key: str, failure: Failure) -> None:
        """Record why a request has failed. Raises UserError where so many have, in a row, that none will do better."""
        detail = self._clean(failure.detail)
        completion = Completion(
            text="",
            finish_reason=failure.finish_reason,
            prompt_tokens=failure.prompt_tokens,
            tokens=0,
            detail=detail,
        )
        if failure.status not in GONE:
            return self._end(key, completion)
        self._unanswered += 1
        if not self._reached or self._unanswered >= min(GONE_AFTER, max(2, self._server.concurrency)):
            raise UserError(
                f"the server at {self._server.base_url} does not answer: {detail}; what was answered is kept:"
                " see that it runs, at that address and with that key, and run it again"
            )
        self._held.append((key, completion))
        if len(self._held) == self._outstanding:
            self._release()
        return None

    def _over_budget(self, failure: Failure | None) -> Completion:
        detail = "the ceiling max_usd has no room for what it may cost"
        if failure is not None:
            detail = f"{detail} once more, after: {failure.detail}"
        return Completion(text="", finish_reason="over_budget", prompt_tokens=0, tokens=0, detail=self._clean(detail))

    def _clean(self, text: str) -> str:
        """Make one short line of what a server said, without the key: it may have been sent back."""
        line = " ".join((text.replace(self._key, "[key]") if self._key else text).split())
        return line if len(line) <= LONGEST_DETAIL else line[: LONGEST_DETAIL - 3] + "..."

    def _body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        roles = ("user", "assistant")
        body: dict[str, Any] = {"model": self._model}
        if self._chat:
            body["messages"] = [
                {"role": roles[place % 2], "content": piece} for place, piece in enumerate(prompt.pieces)
            ]
        else:
            body["prompt"] = self._render(prompt)
        body |= {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,  # always: servers have other defaults
            self._server.limit_field: sampling.max_tokens,
        }
        if sampling.temperature > 0:
            body["seed"] = sampling.seed
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._schema is not None:
            held = {"name": "reply", "strict": True, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": held}
        return body | self._server.body


def _joined(prompt: Prompt) -> str:
    return "\n\n".join((*prompt.pieces, prompt.begun))
