"""When CPU and GPU were busy, and how idle time was spread over the run."""

import numpy as np
import pytest

from idlescope.analysis.idle.activity import (
    gap_histogram,
    host_busy,
    idle_between,
    idle_over_time,
    typical_moment,
)
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured


@pytest.fixture
def device(tmp_path):
    """Two operations of 40 µs with a gap of 100 µs that thread 100 ends, and another thread."""
    events = [
        call(0, 1_000, 1),
        operation(10_000, 50_000, correlation=1),
        span(20_000, 120_000, "host work"),
        call(30_000, 60_000, 0, "cudaStreamSynchronize"),
        span(0, 180_000, "other thread", tid=7),
        call(150_000, 151_000, 2),
        operation(150_000, 190_000, correlation=2),
    ]
    return measured(tmp_path, events)


def test_the_host_is_busy_where_a_launching_thread_works_and_does_not_wait(device):
    busy = host_busy(device.view.trace, device.gaps)
    assert busy.start.tolist() == [0, 20_000, 60_000, 150_000]
    assert busy.end.tolist() == [1_000, 30_000, 120_000, 151_000]


def test_where_no_launch_is_known_all_threads_count(tmp_path):
    events = [
        operation(0, 10_000),
        operation(30_000, 40_000),
        span(5_000, 20_000, "x", tid=7),
    ]
    device = measured(tmp_path, events)
    assert host_busy(device.view.trace, device.gaps).measure == 15_000


def test_idle_between_edges_is_the_share_of_each_part(device):
    edges = np.array([10_000, 50_000, 100_000, 190_000])
    assert idle_between(device.occupancy, edges) == pytest.approx([0, 100, 100 * 50 / 90])
    edges, percent = idle_over_time(device.occupancy, 9)
    assert edges[[0, -1]].tolist() == [10_000, 190_000]
    assert (percent * np.diff(edges) / 100).sum() == pytest.approx(100_000)


def test_gaps_are_counted_and_summed_by_length(device):
    counts, total_ns = gap_histogram(device.gaps, np.array([0.0, 1_000.0, 1e6]))
    assert counts.tolist() == [0, 1]
    assert total_ns.tolist() == [0, 100_000]


def test_a_typical_moment_is_about_the_middle(device):
    assert typical_moment(device.operations, device.occupancy, 20_000) == 150_000
