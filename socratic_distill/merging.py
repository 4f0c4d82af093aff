"""Adapters added to their base for good, for what needs a plain model folder of each student, as OpenVINO does."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from socratic_distill.adapters import ADAPTER_CONFIG, SharedBase, is_adapter
from socratic_distill.artifacts import write_manifest
from socratic_distill.errors import UserError
from socratic_distill.students import (
    MANIFEST,
    Encoder,
    base_of,
    load_base,
    load_student,
    read_student_manifest,
    save_student,
    weights_fingerprint,
)


def merge(folder: Path, out: Path) -> None:
    """Write a student that is an adapter as a plain Hugging Face folder, which is there whole or not at all.

    Weights are added in fp32 and saved in the base's own type. Raises UserError where the student is no adapter, is
    half written or has lost its base, and where `out` exists.
    """
    _check(folder, out)
    manifest = read_student_manifest(folder)
    source = base_of(folder, manifest)
    model, _ = load_base(source, dtype="auto")
    dtype = model.dtype
    student = load_student(folder, dtype=torch.float32, bases={(source, torch.float32): SharedBase(model.float())})
    assert student.shared is not None and isinstance(student.encoder, Encoder)
    merged = student.shared.merged().to(dtype)  # type: ignore[arg-type]  # transformers types `to` as a decorated function
    base, name = manifest["base"], manifest.get("student", folder.name)
    temporary = out.resolve().parent / f"merging-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        save_student(temporary, merged, student.encoder, name=name, base=base["name"])
        write_manifest(
            temporary,
            settings=manifest["settings"],
            inputs={"student": weights_fingerprint(folder, base=base), "base": base["fingerprint"]},
            facts={
                **{key: manifest[key] for key in ("student", "trained", "parameters") if key in manifest},
                "merged_from": str(folder),
                "dtype": str(dtype).removeprefix("torch."),
                "weights": weights_fingerprint(temporary),
            },
        )
        temporary.rename(out)
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def merge_all(students: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Merge one student into `out`, or all students of a run or of a folder into folders in it; yield each when done.

    Raises UserError, before anything is written, where one of them can't be merged.
    """
    if any((students / name).is_file() for name in (MANIFEST, ADAPTER_CONFIG, "config.json")):
        pairs = [(students, out)]
    else:
        inside = students / "students" if (students / "students").is_dir() else students
        folders = sorted(path for path in inside.glob("*") if path.is_dir())
        pairs = [(folder, out / folder.name) for folder in folders]
    if not pairs:
        raise UserError(f"no students in {students}; name a run folder, its students folder, or one student")
    for pair in pairs:
        _check(*pair)
    for folder, place in pairs:
        merge(folder, place)
        yield folder, place


def _check(folder: Path, out: Path) -> None:
    read_student_manifest(folder)
    if not is_adapter(folder):
        raise UserError(f"{folder} is no adapter: it is a plain model folder already")
    if out.exists():
        raise UserError(f"{out} exists; remove it, or name another folder")
