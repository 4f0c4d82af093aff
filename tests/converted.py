"""Tiny students on disk and with OpenVINO, for tests of that engine, which skip where it is not installed."""

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socratic_distill.artifacts import write_manifest
from socratic_distill.engines import Engine
from socratic_distill.reasoning.prompts import PROMPT_VERSION
from socratic_distill.students import Encoder, LoadedStudent, save_student, weights_fingerprint

if TYPE_CHECKING:
    from socratic_distill.engines.conversion import Converted

TEMPORARY = tempfile.TemporaryDirectory()  # removed with the process


def need_openvino() -> None:
    """Skip a test where the extra is not installed."""
    pytest.importorskip("openvino_genai", reason="OPENVINO ABSENT: nothing was checked of the openvino engine")


def saved(student: LoadedStudent, folder: Path) -> Path:
    """Save a student as the training stage does."""
    assert isinstance(student.encoder, Encoder)
    save_student(folder, student.model, student.encoder, name="solver", base="scratch")
    facts = {"weights": weights_fingerprint(folder)}
    write_manifest(folder, settings={"prompt_version": PROMPT_VERSION}, inputs={}, facts=facts)
    return folder


@functools.cache
def converted(student: LoadedStudent, precision: str = "fp32") -> "Converted":
    """Save and convert a student, once for each precision."""
    need_openvino()
    from socratic_distill.engines.conversion import convert

    root = Path(TEMPORARY.name)
    folder = root / "students" / str(id(student))
    if not folder.is_dir():
        saved(student, folder)
    return convert(str(folder), precision, cache=root / "cache")


@functools.cache
def openvino_engine(student: LoadedStudent, precision: str = "fp32") -> Engine:
    """Open one engine for a student; it keeps what it has read of earlier requests."""
    here = converted(student, precision)
    from socratic_distill.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(here, threads=1)
