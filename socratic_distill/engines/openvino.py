"""Runs a student with OpenVINO GenAI's continuous batching, fed the student's own token ids."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import openvino
import openvino_genai
import torch

from socratic_distill.engines.conversion import Converted, Precision, last_line
from socratic_distill.engines.writing import Writing
from socratic_distill.errors import UserError
from socratic_distill.records import Completion, Prompt, Sampling
from socratic_distill.students import Encoder, load_tokenizer

CACHE_BYTES = 1 << 30
"""Of keys and values, at most; more where one whole context needs it. Memory is taken as it is filled."""
BLOCK = 32
"""Tokens whose keys and values OpenVINO keeps together on a CPU."""
STEP_TOKENS = 512
"""Tokens that one step computes, of prompts and of texts: how long a long prompt holds up the others."""
SHAPES = 256
"""Of matrices, for which OpenVINO keeps code: its own default of 5,000 grows to some hundred megabytes a student."""
RENEWED_AFTER = 20_000
"""Requests after which a pipeline is made anew: each leaves some kilobytes in it, for as long as it lives."""


class OpenVINOEngine:
    """Runs one converted student; requests join at every step. `threads` are all that the process may use if None.

    Keys and values take up to `cache_bytes`, or what one whole context needs, and no more than half of what the
    `dialogues` that can be open could fill: a prompt that goes on from what was read or written before is read from
    there. Sampling draws from the seed and the prompt alone. As a context manager, at its end it gives up what runs.
    Raises UserError where OpenVINO fails.
    """

    def __init__(
        self, student: Converted, *, threads: int | None = None, cache_bytes: int = CACHE_BYTES, dialogues: int = 64
    ) -> None:
        self._context = student.context
        self._encoder = Encoder(load_tokenizer(str(student.folder / "tokenizer")))
        self._rows: dict[int, tuple[Writing, Any]] = {}
        self._waiting: list[Writing] = []  # for a new pipeline
        self._ended: list[Writing] = []
        self._submitted = 0
        scheduling = openvino_genai.SchedulerConfig()
        scheduling.enable_prefix_caching = True
        one_context = student.token_bytes * (student.context + BLOCK)
        room = max(min(cache_bytes, dialogues * one_context // 2), one_context)
        scheduling.num_kv_blocks = math.ceil(room / (student.token_bytes * BLOCK))
        scheduling.max_num_batched_tokens = STEP_TOKENS
        settings = compute_settings(student.precision, threads=threads)
        self._pipeline: Any = None
        self._made_of = (str(student.folder), scheduling, "CPU", settings)
        self._renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows, self._waiting, self._ended = {}, [], []  # without its handle a request is given up
        with suppress(RuntimeError):
            self._pipeline.step()  # OpenVINO complains of requests that are there when their pipeline goes

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        """Take a request."""
        row = Writing.of(key, prompt, sampling, coder=self._encoder, context=self._context)
        if row.finish_reason is not None:
            self._ended.append(row)
        elif self._submitted < self._renewed_at + RENEWED_AFTER:
            self._add(row)
        else:
            self._waiting.append(row)

    def _renew(self) -> None:
        """Make a pipeline; the one before and all that it has read go."""
        self._pipeline = None  # two at once would be twice the memory
        with _failure_told():
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(*self._made_of)
        self._renewed_at = self._submitted

    def _add(self, row: Writing) -> None:
        ids = openvino.Tensor(np.array([row.prompt], dtype=np.int64))
        with _failure_told():
            handle = self._pipeline.add_request(self._submitted, ids, _generation(row, self._encoder.terminator))
        self._rows[self._submitted] = (row, handle)
        self._submitted += 1

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        """Write a token of every row, with no timeout until a row has ended."""
        while self._rows or self._waiting:
            if not self._rows:
                self._renew()
                waiting, self._waiting = self._waiting, []
                for row in waiting:
                    self._add(row)
            self._step()
            if self._ended or timeout is not None:
                break
        ended, self._ended = self._ended, []
        return [(row.key, row.completion()) for row in ended]

    def _step(self) -> None:
        with _failure_told():
            self._pipeline.step()
        for place, (row, handle) in list(self._rows.items()):
            while handle.can_read():
                for output in handle.read().values():
                    for token in output.generated_ids:
                        if row.finish_reason is None:
                            row.add(token)
            running = handle.get_status() == openvino_genai.GenerationStatus.RUNNING
            if row.finish_reason is None:
                if not running:
                    raise UserError(f"OpenVINO gave a request of {len(row.prompt)} tokens up; run it again")
                continue
            if running:
                handle.stop()
            del self._rows[place]
            self._ended.append(row)
        if not self._rows:
            with _failure_told():
                self._pipeline.step()  # frees the cache of what was stopped


def compute_settings(precision: Precision, *, threads: int | None = None) -> dict[str, Any]:
    """Return OpenVINO's settings for computing in a precision, by `threads` or all that the process may use."""
    exact = precision.arithmetic == "f32"
    return {
        "INFERENCE_PRECISION_HINT": precision.arithmetic,
        "EXECUTION_MODE_HINT": "ACCURACY" if exact else "PERFORMANCE",
        "KV_CACHE_PRECISION": precision.cache,
        # Left alone, products with int8 weights are of int8 on both sides, which is faster.
        **({"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0} if exact else {}),
        "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),  # those of taskset and OMP_NUM_THREADS
        "CPU_RUNTIME_CACHE_CAPACITY": SHAPES,
        "ENABLE_CPU_PINNING": False,  # two processes would pin themselves to the same core
    }


def _generation(row: Writing, terminator: int) -> Any:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = row.room
    config.set_eos_token_id(terminator)
    if row.sampling.temperature > 0:
        config.do_sample = True
        config.temperature, config.top_p = row.sampling.temperature, row.sampling.top_p
        drawn = hashlib.sha256(repr((row.sampling.seed, row.prompt)).encode()).digest()
        config.rng_seed = int.from_bytes(drawn[:4], "big")
    return config


@contextmanager
def _failure_told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"OpenVINO failed ({last_line(error)}); what is solved is kept: run it again, "
            'or set engine = "transformers"'
        ) from error
