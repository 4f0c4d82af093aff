"""Which engine plays the teacher, as the recipe says, and what of the recipe decides its replies."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance, Purse
from socratic_distill.errors import UserError
from socratic_distill.reasoning.teacher_prompts import RESPONSE_FORMATS
from socratic_distill.recipe import Annotate, Server

LOCAL_BATCH = 64
"""Requests that a local teacher answers at once."""


def teacher_engine(settings: Annotate, allowance: Purse) -> Engine:
    """Open the teacher's engine. Raises UserError where the teacher or its server can't be had."""
    return _ENGINES[settings.engine](settings, allowance)


def teacher_allowance(settings: Annotate, ledger: Path) -> Allowance:
    """Return what asking the teacher may cost. Raises UserError for a ceiling without prices."""
    if settings.engine != "openai":
        return Allowance()
    server = teacher_server(settings)
    return Allowance(
        settings.prices,
        settings.max_usd,
        requests_per_minute=server.requests_per_minute,
        tokens_per_minute=server.tokens_per_minute,
        path=ledger,
    )


def teacher_identity(settings: Annotate) -> dict[str, Any]:
    """Return what decides the replies besides prompt and sampling, as a JSON value."""
    if settings.engine == "transformers":
        from socratic_distill.students import base_fingerprint

        return {"engine": settings.engine, "model": settings.model, "weights": base_fingerprint(settings.model)}
    server = teacher_server(settings)
    return {
        "engine": settings.engine,
        "model": settings.model,
        "api": server.api,
        "body": server.body,
        "schema": _schema(settings),
    }


def teacher_window(settings: Annotate) -> int:
    """Return how many dialogues to keep open: twice what is in flight, so that the server is never out of work."""
    return 2 * (teacher_server(settings).concurrency if settings.engine == "openai" else LOCAL_BATCH)


def teacher_server(settings: Annotate) -> Server:
    """Return the teacher's server. Raises UserError where the recipe has none."""
    if settings.server is None:
        raise UserError(
            "the teacher has no server: write [annotate.server] base_url = ..., "
            'or annotate.engine = "transformers" for one that runs here'
        )
    return settings.server


def _schema(settings: Annotate) -> Mapping[str, Any] | None:
    if not settings.structured:
        return None
    schema: Mapping[str, Any] = RESPONSE_FORMATS[settings.style]["json_schema"]["schema"]
    return schema


def _at_server(settings: Annotate, allowance: Purse) -> Engine:
    from socratic_distill.engines.openai import OpenAIEngine

    return OpenAIEngine(teacher_server(settings), settings.model, allowance=allowance, schema=_schema(settings))


def _here(settings: Annotate, _: Purse) -> Engine:
    from socratic_distill.engines.transformers import TransformersEngine
    from socratic_distill.machine import compute_dtype
    from socratic_distill.students import load_base, ready

    model, tokenizer = load_base(settings.model, dtype=compute_dtype())
    return TransformersEngine(ready(model, tokenizer, chat=True), batch_size=LOCAL_BATCH)


_ENGINES: dict[str, Callable[[Annotate, Purse], Engine]] = {"openai": _at_server, "transformers": _here}
