"""Migrations of unified memory are launched by nobody, so they are not unlinked."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.trace.names.migrations import migrations
from tests.make.kineto_files import call, operation, write

KERNELS = 4


def linked_pct(tmp_path, name, kind="memcpy"):
    """The share of linked operations of a trace with a record between any two of its kernels."""
    events = []
    for row in range(KERNELS):
        start = row * 10_000
        events += [
            call(start, start + 500, row + 1),
            operation(start + 1_000, start + 6_000, correlation=row + 1),
            operation(start + 7_000, start + 8_000, kind, name=name, stream=0),
        ]
    trace = idlescope.open(write(tmp_path / "t.json", events))
    (device,) = idlescope.analyze(trace).results
    return int(migrations(trace.operations, trace.names).sum()), device.coverage.linked_pct


@pytest.mark.parametrize(
    "name",
    [
        "[CUDA Unified Memory memcpy HtoD]",
        "[CUDA memcpy Unified Host-to-Device]",
        "Unified Memory Memcpy DtoH",
    ],
)
def test_migrations_are_not_unlinked(tmp_path, name):
    assert linked_pct(tmp_path, name) == (KERNELS, 100)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Memcpy HtoD (Pageable -> Device)", "memcpy"),
        ("kernel_unified_attention_2d", "kernel"),
    ],
)
def test_other_records_without_a_launch_are(tmp_path, name, kind):
    assert linked_pct(tmp_path, name, kind) == (0, 50)
