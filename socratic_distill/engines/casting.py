"""Which engine plays a student in a solve, as the recipe says."""

from collections.abc import Callable

import torch

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.machine import compute_dtype
from socratic_distill.recipe import Server, Solve
from socratic_distill.run import Run
from socratic_distill.students import Encoder, load_base, load_student, load_tokenizer, ready


def student_engine(run: Run, student: str, solve: Solve) -> Engine:
    """Open the engine that plays one student. Raises UserError where the student or its server can't be had."""
    return ENGINES[solve.engine](run, student, solve)


def dtype_of(solve: Solve) -> torch.dtype:
    """Return the number type that a solve computes in, where it computes here."""
    return torch.float32 if solve.precision == "fp32" else compute_dtype()


def allowance_of(server: Server) -> Allowance:
    """Return the rates that a server of students is to be asked at; they cost nothing."""
    return Allowance(requests_per_minute=server.requests_per_minute, tokens_per_minute=server.tokens_per_minute)


def _with_transformers(run: Run, student: str, solve: Solve) -> Engine:
    if solve.trained:
        loaded = load_student(run.path(f"students/{student}"), dtype=dtype_of(solve))
    else:
        loaded = ready(*load_base(_untrained(run), dtype=dtype_of(solve)))
    return TransformersEngine(loaded, batch_size=solve.window)


def _with_server(run: Run, student: str, solve: Solve) -> Engine:
    if solve.server is None:
        raise UserError('a solve with engine = "openai" needs a server: [solve.<name>.server] base_url = ...')
    if solve.server.api != "completions":
        raise UserError("students are asked by plain completions: set solve.<name>.server.api=completions")
    folder = str(run.path(f"students/{student}")) if solve.trained else _untrained(run)
    name = (solve.models or {}).get(student, student)
    encoder = Encoder(load_tokenizer(folder))
    return OpenAIEngine(solve.server, name, allowance=allowance_of(solve.server), render=encoder.encode)


def _untrained(run: Run) -> str:
    name = run.recipe.train.student
    return str(run.path("base")) if name == "scratch" else name


ENGINES: dict[str, Callable[[Run, str, Solve], Engine]] = {
    "transformers": _with_transformers,
    "openai": _with_server,
}
