"""Fixtures that more than one test module needs."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data sets beside the checkout; tests on them skip, and say so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"REAL DATA ABSENT: {SHARED} is not there, so nothing was checked against published rows")
    return SHARED
