"""Which engine runs a model as it is, a teacher or one prompted to play students, and what asking it may cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socratic_distill.artifacts import fingerprint_records
from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance, Purse
from socratic_distill.reasoning.prompting import Api, Prompting
from socratic_distill.reasoning.prompting_roles import PROMPTING_VERSION
from socratic_distill.recipe import Annotate, Prompted
from socratic_distill.records import Completion, Prompt, Sampling

LOCAL_BATCH = 64
"""Requests that a model which runs here answers at once."""


def prompted_engine(prompted: Prompted, allowance: Purse, *, window: int = LOCAL_BATCH) -> Engine:
    """Open the engine of a prompted model; close it where it is a context manager.

    `window` is how many requests one that runs here answers at once. Raises UserError where the model or its server
    can't be had.
    """
    return model_engine(prompted, allowance, window=window, text=prompted_api(prompted) == "completions")


def prompted_api(prompted: Prompted) -> Api:
    """Return how a model is to be prompted: as its server says; one that runs here by its chat template, if any."""
    if prompted.server is not None and prompted.engine == "openai":
        return prompted.server.api
    from socratic_distill.students import load_tokenizer

    return "chat" if load_tokenizer(prompted.model).chat_template else "completions"


def prompted_identity(prompted: Prompted, prompting: Prompting) -> dict[str, Any]:
    """Return all that decides a prompted model's replies besides problem, strategy and sampling, as a JSON value.

    So prices, the server's address and a file's name are not in it.
    """
    exemplars = prompting.exemplars
    return {
        **model_identity(prompted),
        "api": prompting.api,
        "students": sorted(prompting.students),
        "shots": prompting.shots,
        "exemplars": fingerprint_records(one for kind in sorted(exemplars) for one in exemplars[kind]),
        "prompting_version": PROMPTING_VERSION,
    }


# --- what teachers and prompted models have in common


def model_engine(
    model: Annotate | Prompted,
    allowance: Purse,
    *,
    window: int = LOCAL_BATCH,
    text: bool = False,
    schema: Mapping[str, Any] | None = None,
) -> Engine:
    """Open a model's engine; `text` is for prompts that are one plain text, `schema` what a server holds replies to.

    Raises UserError where the model or its server can't be had.
    """
    if model.engine == "openai":
        from socratic_distill.engines.openai import OpenAIEngine

        assert model.server is not None, "the recipe was checked"
        render = _as_text if text else None
        return OpenAIEngine(model.server, model.model, allowance=allowance, schema=schema, render=render)
    from socratic_distill.engines.transformers import TransformersEngine
    from socratic_distill.machine import compute_dtype
    from socratic_distill.students import load_base, ready

    loaded = ready(*load_base(model.model, dtype=compute_dtype()), chat=not text)
    engine = TransformersEngine(loaded, batch_size=window)
    return _PlainText(engine) if text else engine


def model_allowance(model: Annotate | Prompted, ledger: Path) -> Allowance:
    """Return what asking a model may cost, as its ledger goes on. Raises UserError for a ceiling without prices."""
    if model.engine != "openai":
        return Allowance()
    assert model.server is not None, "the recipe was checked"
    return Allowance(
        model.prices,
        model.max_usd,
        requests_per_minute=model.server.requests_per_minute,
        tokens_per_minute=model.server.tokens_per_minute,
        path=ledger,
    )


def model_identity(model: Annotate | Prompted) -> dict[str, Any]:
    """Return what decides a model's replies besides prompt and sampling, as a JSON value."""
    if model.engine == "transformers":
        from socratic_distill.students import base_fingerprint

        return {"engine": model.engine, "model": model.model, "weights": base_fingerprint(model.model)}
    assert model.server is not None, "the recipe was checked"
    return {"engine": model.engine, "model": model.model, "api": model.server.api, "body": model.server.body}


def _as_text(prompt: Prompt) -> str:
    return "".join((*prompt.pieces, prompt.begun))


class _PlainText:
    """Gives an engine its prompts as one text to go on with: nothing ends the pieces of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        self._engine.submit(key, Prompt(pieces=(), begun=_as_text(prompt)), sampling)

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        return self._engine.poll(timeout)
