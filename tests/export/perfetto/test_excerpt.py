"""An excerpt holds the records nearest to the worst gap, whole, in a file that is small and shows the gap."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import idlescope
from idlescope.export.perfetto import excerpt
from idlescope.trace.model import OperationKind, RangeKind
from tests.conftest import FIXTURES
from tests.make import perfetto_lint as lint
from tests.make.traces import trace

KERNEL, ANNOTATION = OperationKind.KERNEL, RangeKind.ANNOTATION
FILES = [
    "transformers_sync",
    "transformers_async",
    "idlescope_sync",
    "loop_eager",
    "loop_item",
]


def packed(made, tmp_path, **options):
    result = max(idlescope.analyze(made).results, key=lambda r: r.idle_pct)
    piece = excerpt.packed(made, result, **options)
    (tmp_path / "e.json.gz").write_bytes(piece.data)
    return piece, result, idlescope.open(tmp_path / "e.json.gz")


@pytest.mark.parametrize("name", FILES)
def test_an_excerpt_is_small_whole_and_shows_the_worst_gap(name, tmp_path):
    original = idlescope.open(FIXTURES / f"{name}.json.gz")
    piece, result, again = packed(original, tmp_path, max_events=1000)
    assert len(piece.data) < 300_000
    assert lint.findings(lint.load(tmp_path / "e.json.gz")) == []
    records = (
        len(again.operations) + len(again.calls) + len(again.ranges) + len(again.counters)
    )
    assert 900 < records < 1100
    low, high = excerpt.worst_gap(result)
    assert piece.start <= low - (high - low) or piece.start <= int(
        again.operations.start.min()
    )
    found = max(idlescope.analyze(again).results, key=lambda r: r.idle_pct)
    assert excerpt.worst_gap(found) == (low, high)
    starts = np.intersect1d(again.operations.start, original.operations.start)
    assert starts.size == np.unique(again.operations.start).size


def test_records_far_from_the_gap_are_left_out_and_long_ranges_end_with_it(tmp_path):
    steps = [
        (100 * i, 100 * i + (90 if i != 50 else 10), KERNEL, 0, 0, 0, 0, -1, 0, 0.0)
        for i in range(100)
    ]
    made = trace(steps, ranges=[(0, 10_000, 0, 0, ANNOTATION, -1)], processes=("1",))
    piece, _, again = packed(made, tmp_path, max_events=9)
    assert again.operations.start.tolist() == [4600 + 100 * i for i in range(9)]
    assert (again.ranges.start[0], again.ranges.end[0]) == (4600, 5490)
    assert 4600 <= piece.start < 5010
    assert 5100 < piece.end <= 5490


def test_another_process_is_left_out(tmp_path):
    made = trace(
        [(0, 10, KERNEL, 0, 0, 0, 0, -1, 0, 0.0), (50, 60, KERNEL, 0, 0, 0, 0, -1, 0, 0.0),
         (0, 60, KERNEL, 1, 0, 0, 0, -1, 0, 0.0)],
        ranges=[(0, 60, 0, 0, ANNOTATION, -1), (0, 60, 2, 0, ANNOTATION, -1)],
    )  # fmt: skip
    _, result, again = packed(made, tmp_path)
    assert result.device.process_name == "100"
    assert (len(again.operations), len(again.ranges)) == (2, 1)


def test_a_device_that_is_never_idle_has_an_excerpt(tmp_path):
    made = trace(
        [(10 * i, 10 * i + 10, KERNEL, 0, 0, 0, 0, -1, 0, 0.0) for i in range(100)],
        processes=("1",),
    )
    piece, _, again = packed(made, tmp_path, max_events=10)
    assert piece.start < piece.end
    assert 5 < len(again.operations) < 15


def test_equal_traces_have_equal_excerpts(tmp_path):
    original = idlescope.open(FIXTURES / "loop_sync.json.gz")
    first, _, _ = packed(original, tmp_path)
    again, _, _ = packed(original, tmp_path)
    assert first == again
    assert gzip.decompress(first.data).startswith(b'{"schemaVersion": 1')
