"""A server of one's own that is recorded, and short waits for what it writes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from idlescope.capture.server import profile, step_time, traces
from tests.make.servers import FakeServer, serving


@pytest.fixture
def folder(tmp_path):
    """Where servers write their traces."""
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


@pytest.fixture
def serve(folder):
    """Return a function that starts a server, with the options of `FakeServer`."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(
            serving(FakeServer(folder, **options))
        )


@pytest.fixture
def soon(monkeypatch):
    """Traces are taken to be written, and counters to be known, after fractions of a second."""
    monkeypatch.setattr(traces, "STABLE_S", 0.2)
    monkeypatch.setattr(traces, "LATE_RANK_S", 0.6)
    monkeypatch.setattr(traces, "POLL_S", 0.02)
    monkeypatch.setattr(profile, "POLL_S", 0.02)
    monkeypatch.setattr(profile, "COUNTER_POLL_S", 0.02)
    monkeypatch.setattr(step_time, "BASELINE_S", 0.4)
    for variable in ("IDLESCOPE_API_KEY", "VLLM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
