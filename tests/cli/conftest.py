"""Traces that several commands are tried on."""

from __future__ import annotations

import pytest

from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, span, write


@pytest.fixture
def trace(tmp_path):
    events = [
        call(0, 2_000, 1),
        operation(5_000, 10_000, correlation=1),
        span(10_500, 30_000, "cb:prepare_batch_tensors"),
        call(40_000, 42_000, 2),
        operation(45_000, 50_000, "memcpy", correlation=2),
        operation(60_000, 65_000, name="<script>alert('kernel')</script>"),
    ]
    return write(tmp_path / "a.json.gz", events)


@pytest.fixture
def steps():
    return FIXTURES / "transformers_sync.json.gz"
