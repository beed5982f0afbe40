"""Active, compute, copy-only and idle time are those of the union over all streams."""

from idlescope.analysis.idle.occupancy import is_compute, occupancy
from tests.make.kineto_files import operation
from tests.make.views import measured


def test_concurrent_operations_count_once_and_copies_apart(tmp_path):
    device = measured(
        tmp_path,
        [
            operation(0, 40_000, stream=1),
            operation(10_000, 60_000, "memcpy", stream=2),
            operation(20_000, 30_000, stream=3),
            operation(100_000, 120_000, "memset", stream=2),
        ],
    )
    found = device.occupancy
    assert (found.window_ns, found.active_ns, found.idle_ns) == (120_000, 80_000, 40_000)
    assert (found.compute_ns, found.copy_only_ns, found.compute_idle_ns) == (
        40_000,
        40_000,
        80_000,
    )
    assert is_compute(device.operations).tolist() == [True, False, True, False]


def test_a_window_cuts_what_lies_across_its_ends(tmp_path):
    device = measured(tmp_path, [operation(0, 40_000), operation(60_000, 100_000)])
    found = occupancy(device.operations, (30_000, 70_000))
    assert (found.window_ns, found.active_ns) == (40_000, 20_000)
    assert (found.gaps.start.tolist(), found.gaps.end.tolist()) == ([40_000], [60_000])
