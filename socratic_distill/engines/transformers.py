"""Runs a student with transformers: what waits is answered in left-padded batches, rows leaving as they end.

Sampling draws from the seed and the prompt alone, so a row's text does not depend on the batch it is in (at fp32; at
bf16 rounding may).
"""

import hashlib
from dataclasses import dataclass, field

import torch

from socratic_distill.engines import decoding
from socratic_distill.engines.decoding import roomy_cache
from socratic_distill.records import Completion, FinishReason, Prompt, Sampling
from socratic_distill.students import LoadedStudent

COMPACT_SHARE = 0.75
"""Rows still writing, as a share of the batch, below which it is shrunk to them: copying its cache costs a step."""


@dataclass
class _Row:
    """One request being answered."""

    key: str
    prompt: list[int]
    begun: int
    """How many of the prompt's last ids belong to the piece that is being written."""
    sampling: Sampling
    written: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: FinishReason | None = None
    random: torch.Generator | None = None


class TransformersEngine:
    """Runs one loaded student. `batch_size` bounds the rows of one forward pass."""

    def __init__(self, student: LoadedStudent, *, batch_size: int = 64) -> None:
        self._student, self._batch_size = student, batch_size
        self._device = next(student.model.parameters()).device
        self._waiting: list[_Row] = []
        if self._device.type == "cpu" and student.model.config._attn_implementation == "sdpa":
            student.model.set_attn_implementation(decoding.NAME)

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request."""
        ids = self._student.encode(prompt)
        begun = len(ids) - len(self._student.encode(Prompt(pieces=prompt.pieces))) if prompt.begun else 0
        row = _Row(key, ids, begun, sampling)
        if sampling.temperature > 0:
            seed = hashlib.sha256(repr((sampling.seed, ids)).encode()).digest()[:8]
            row.random = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
        self._waiting.append(row)

    def poll(self) -> list[tuple[str, Completion]]:
        """Answer a batch of what waits, the shortest prompts together."""
        self._waiting.sort(key=lambda row: len(row.prompt), reverse=True)
        batch, self._waiting = self._waiting[: self._batch_size], self._waiting[self._batch_size :]
        for row in batch:
            if len(row.prompt) >= self._student.context:
                row.finish_reason = "prompt_too_long"
        if writing := [row for row in batch if row.finish_reason is None]:
            self._write(writing)
        return [(row.key, self._completion(row)) for row in batch]

    @torch.inference_mode()
    def _write(self, rows: list[_Row]) -> None:
        model, device = self._student.model, self._device
        longest = max(len(row.prompt) for row in rows)
        pad = self._student.terminator
        ids = torch.tensor([[pad] * (longest - len(row.prompt)) + row.prompt for row in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows], device=device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # (rows, length)
        cache = roomy_cache(model.config)
        while True:
            output = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            chosen = self._choose(output.logits[:, -1].float(), rows)
            for row, token in zip(rows, chosen, strict=True):
                if row.finish_reason is None:
                    self._add(row, token)
            kept = [index for index, row in enumerate(rows) if row.finish_reason is None]
            if not kept:
                return
            ids = torch.tensor(chosen, device=device).unsqueeze(1)
            # A row that has ended rides along until the batch is shrunk: past the context there is no position.
            positions = (positions[:, -1:] + 1).clamp(max=self._student.context - 1)
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            if len(kept) < len(rows) * COMPACT_SHARE:
                index = torch.tensor(kept, device=device)
                cache.batch_select_indices(index)
                ids, positions, mask = ids[index], positions[index], mask[index]
                rows = [rows[place] for place in kept]

    def _choose(self, logits: torch.Tensor, rows: list[_Row]) -> list[int]:
        """Choose each row's next id. logits: (rows, vocabulary), fp32."""
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        for place, row in enumerate(rows):
            if row.random is not None and row.finish_reason is None:
                chosen[place] = _sample(logits[place].cpu(), row.sampling, row.random)
        return chosen

    def _add(self, row: _Row, token: int) -> None:
        row.written.append(token)
        if token == self._student.terminator:
            row.finish_reason = "end"
        elif row.sampling.stop and (met := self._met(row)) is not None:
            row.finish_reason, row.text = "stop_string", met
        elif len(row.written) >= row.sampling.max_tokens or len(row.prompt) + len(row.written) >= self._student.context:
            row.finish_reason = "length"

    def _met(self, row: _Row) -> str | None:
        """Return the text up to the first stop string, where the last token has completed one."""
        longest = max(len(stop.encode()) for stop in row.sampling.stop)  # a token is a byte at least
        tail = self._student.decode(row.written[-longest - 1 :])
        if not any(stop in tail for stop in row.sampling.stop):
            return None
        text = self._text(row)
        ends = [text.find(stop) + len(stop) for stop in row.sampling.stop if stop in text]
        return text[: min(ends)] if ends else None

    def _text(self, row: _Row) -> str:
        # A tokenizer of the SentencePiece kind drops a leading space: decode with what was begun, then take that off.
        begun = row.prompt[len(row.prompt) - row.begun :]
        return self._student.decode([*begun, *row.written])[len(self._student.decode(begun)) :]

    def _completion(self, row: _Row) -> Completion:
        assert row.finish_reason is not None
        return Completion(
            text=row.text if row.finish_reason == "stop_string" else self._text(row),
            finish_reason=row.finish_reason,
            prompt_tokens=len(row.prompt),
            tokens=len(row.written),
        )


def _sample(logits: torch.Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """Draw an id from the nucleus of `top_p`. logits: (vocabulary,)."""
    probabilities, order = (logits / sampling.temperature).softmax(dim=-1).sort(descending=True)
    outside = probabilities.cumsum(dim=-1) - probabilities >= sampling.top_p
    probabilities = probabilities.masked_fill(outside, 0.0)
    return int(order[torch.multinomial(probabilities, 1, generator=random)])
