"""Runs a student with transformers: rows join and leave at every step, and what was read once is not read again.

Sampling draws from the seed and the prompt alone, so a row's text does not depend on those beside it (at fp32; at
bf16 rounding may).
"""

import hashlib
import math
from collections import deque
from dataclasses import dataclass

import torch

from socratic_distill.engines import decoding
from socratic_distill.engines.decoding import Kept, Line, RowCache
from socratic_distill.engines.writing import Writing
from socratic_distill.errors import UserError
from socratic_distill.records import Completion, Prompt, Sampling
from socratic_distill.students import LoadedStudent

READ_TOGETHER = 2048
"""Prompt tokens that one forward pass reads; a longer prompt is read by itself."""
WORTH_SHARING = 16
"""Tokens that a prompt must share with one that is just being read to wait for it."""
CACHE_BYTES = 1 << 30
"""Of the keys and values that rows leave behind."""
PROBE = tuple(range(1, 40))
"""Ids on which a student must give the same logits by our attention as by its own."""
TOLERANCE = {torch.bfloat16: 0.1, torch.float16: 0.02}
"""How far the logits may differ, as a share of the largest; 1e-3 for wider types."""


@dataclass
class _Row:
    """One request being answered."""

    writing: Writing
    random: torch.Generator | None
    read: int = 0
    """How many of the ids have their keys and values in the cache."""

    @property
    def prompt(self) -> list[int]:
        return self.writing.prompt

    def ids(self) -> list[int]:
        return self.writing.prompt + self.writing.written


class TransformersEngine:
    """Runs one loaded student. `batch_size` bounds the rows of one forward pass.

    The keys and values of a row that ends are kept, up to `cache_bytes` and of twice as many as the `dialogues` that
    can be open, the oldest going first: a prompt that goes on from what was read or written before is read from there.
    Raises UserError for a student whose attention can't be replaced.
    """

    def __init__(
        self, student: LoadedStudent, *, batch_size: int = 64, dialogues: int = 64, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._student, self._batch_size, self._cache_bytes = student, batch_size, cache_bytes
        self._most_kept = 2 * dialogues  # some are of dialogues that have ended, and younger than what is still needed
        self._device = next(student.model.parameters()).device
        self._waiting: deque[_Row] = deque()
        self._rows: list[_Row] = []
        self._ended: list[_Row] = []
        self._kept: deque[Kept] = deque()
        self._kept_bytes = 0
        self._layers: int = student.model.config.get_text_config().num_hidden_layers
        self._cache = RowCache(self._layers)
        if student.model.config._attn_implementation != decoding.NAME:
            self._take_over()

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request."""
        writing = Writing.of(key, prompt, sampling, coder=self._student, context=self._student.context)
        random = None
        if sampling.temperature > 0:
            seed = hashlib.sha256(repr((sampling.seed, writing.prompt)).encode()).digest()[:8]
            random = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
        row = _Row(writing, random)
        if writing.finish_reason is None:
            self._waiting.append(row)
        else:
            self._ended.append(row)

    @torch.inference_mode()
    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Let waiting requests in and write a token of every row, with no timeout until a row has ended."""
        while self._waiting or self._rows:
            self._admit()
            self._step()
            if self._ended or timeout is not None:
                break
        ended, self._ended = self._ended, []
        return [(row.writing.key, row.writing.completion()) for row in ended]

    @torch.inference_mode()
    def _take_over(self) -> None:
        """Put our attention in place of the model's own, once both have given the same logits."""
        model, cache = self._student.model, RowCache(self._layers)
        ids = [token % model.config.get_text_config().vocab_size for token in PROBE]
        self._student.activate()
        expected = model(input_ids=torch.tensor([ids], device=self._device), use_cache=False).logits[0, -1].float()
        try:
            model.set_attn_implementation(decoding.NAME)
            self._forward(cache, [ids[:3], ids[:20]], [0, 0])
            given = self._forward(cache, [ids[3:4], ids[20:]], [3, 20])[1]
            far = float((given - expected).abs().max() / expected.abs().max()) if cache.room else math.inf
        except (AttributeError, AssertionError, KeyError, TypeError, ValueError, RuntimeError):
            far = math.inf
        if far > TOLERANCE.get(model.dtype, 1e-3):
            raise UserError(
                f"the attention of {type(model).__name__} is of a kind that this engine does not compute; "
                'put it behind a server and use engine = "openai"'
            )

    def _admit(self) -> None:
        budget = READ_TOGETHER
        joined: list[_Row] = []
        held: list[_Row] = []
        while self._waiting and len(self._rows) < self._batch_size:
            row = self._waiting[0]
            kept, shared = self._longest_shared(row)
            if joined and len(row.prompt) - shared > budget:
                break
            self._waiting.popleft()
            if max((_shared(other.prompt, row.prompt) for other in joined), default=0) >= shared + WORTH_SHARING:
                held.append(row)  # its prompt is being read: the next step takes that over
                continue
            if kept is not None:
                self._cache.put(len(self._rows), kept, shared)
                row.read = shared
                if shared >= len(kept.ids) - 1 and kept in self._kept:  # what this row keeps will hold it all
                    self._kept.remove(kept)
                    self._kept_bytes -= kept.bytes
            budget -= len(row.prompt) - shared
            self._rows.append(row)
            joined.append(row)
        self._waiting.extendleft(reversed(held))

    def _longest_shared(self, row: _Row) -> tuple[Kept | None, int]:
        """Find the states that spare a row most reading, and of how many tokens; at least one is left to read."""
        under_way = (
            self._cache.of(place, other.ids()[: other.read]) for place, other in enumerate(self._rows) if other.read
        )
        shared, best = 0, None
        for kept in (*self._kept, *under_way):
            if (tokens := min(_shared(kept.ids, row.prompt), len(row.prompt) - 1)) > shared:
                shared, best = tokens, kept
        return best, shared

    def _step(self) -> None:
        rows = self._rows
        logits = self._forward(self._cache, [row.ids()[row.read :] for row in rows], [row.read for row in rows])
        for row, token in zip(rows, self._choose(logits, rows), strict=True):
            row.read = len(row.ids())
            row.writing.add(token)
        for place in range(len(rows) - 1, -1, -1):
            if rows[place].writing.finish_reason is not None:
                self._take_out(place)
        self._cache.tighten(len(rows), max((row.read for row in rows), default=0))

    def _forward(self, cache: RowCache, new: list[list[int]], read: list[int]) -> torch.Tensor:
        """Take new ids of rows, each after what the cache has of it; return logits of the last: (rows, vocabulary)."""
        counts = [len(ids) for ids in new]
        lengths = [count + before for count, before in zip(counts, read, strict=True)]
        line = Line.of(cache, counts, lengths, device=self._device)
        self._student.activate()
        output = self._student.model(
            input_ids=torch.tensor([[token for ids in new for token in ids]], device=self._device),
            position_ids=line.places[None],
            use_cache=False,
            logits_to_keep=line.last,
            line=line,
        )
        logits: torch.Tensor = output.logits[0]
        return logits.float()

    def _take_out(self, place: int) -> None:
        """Take a row that has ended out, keep what it has read, and let the last row close the gap."""
        row, last = self._rows[place], self._rows.pop()
        self._ended.append(row)
        self._keep(self._cache.of(place, row.ids()[: row.read]).copy())
        if last is not row:
            self._rows[place] = last
            self._cache.put(place, self._cache.of(len(self._rows), last.ids()[: last.read]), last.read)

    def _keep(self, kept: Kept) -> None:
        self._kept.append(kept)
        self._kept_bytes += kept.bytes
        while self._kept_bytes > self._cache_bytes or len(self._kept) > self._most_kept:
            self._kept_bytes -= self._kept.popleft().bytes

    def _choose(self, logits: torch.Tensor, rows: list[_Row]) -> list[int]:
        """Choose each row's next id. logits: (rows, vocabulary), fp32."""
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        for place, row in enumerate(rows):
            if row.random is not None:
                chosen[place] = _sample(logits[place].cpu(), row.writing.sampling, row.random)
        return chosen


def _sample(logits: torch.Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """Draw an id from the nucleus of `top_p`. logits: (vocabulary,)."""
    probabilities, order = (logits / sampling.temperature).softmax(dim=-1).sort(descending=True)
    outside = probabilities.cumsum(dim=-1) - probabilities >= sampling.top_p
    probabilities = probabilities.masked_fill(outside, 0.0)
    return int(order[torch.multinomial(probabilities, 1, generator=random)])


def _shared(one: list[int], other: list[int]) -> int:
    """Return how many first ids two sequences have in common."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
