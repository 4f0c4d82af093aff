"""Which engine plays the teacher, as the recipe says, and what of the recipe decides its replies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance, Purse
from socratic_distill.engines.prompted import LOCAL_BATCH, model_allowance, model_engine, model_identity
from socratic_distill.errors import UserError
from socratic_distill.reasoning.teacher_prompts import RESPONSE_FORMATS
from socratic_distill.recipe import Annotate, Server


def teacher_engine(settings: Annotate, allowance: Purse) -> Engine:
    """Open the teacher's engine. Raises UserError where the teacher or its server can't be had."""
    return model_engine(_checked(settings), allowance, schema=_schema(settings))


def teacher_allowance(settings: Annotate, ledger: Path) -> Allowance:
    """Return what asking the teacher may cost. Raises UserError for a ceiling without prices."""
    return model_allowance(_checked(settings), ledger)


def teacher_identity(settings: Annotate) -> dict[str, Any]:
    """Return what decides the replies besides prompt and sampling, as a JSON value."""
    identity = model_identity(_checked(settings))
    return {**identity, "schema": _schema(settings)} if settings.engine == "openai" else identity


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


def _checked(settings: Annotate) -> Annotate:
    """Return settings that have a server where they need one."""
    if settings.engine == "openai":
        teacher_server(settings)
    return settings


def _schema(settings: Annotate) -> Mapping[str, Any] | None:
    if not settings.structured:
        return None
    schema: Mapping[str, Any] = RESPONSE_FORMATS[settings.style]["json_schema"]["schema"]
    return schema
