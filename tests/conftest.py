"""What several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent / "fixtures"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared_traces() -> Path:
    """Real traces, which are not part of the project; tests that use them skip where they are not there."""
    folder = SHARED / "traces"
    if not folder.is_dir():
        pytest.skip("the real traces of ../shared/traces are not on this machine")
    return folder
