"""The longest gaps name what stood on the launching thread's stack."""

from idlescope.analysis.idle.stacks import longest
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured


def loop(tmp_path, *events):
    """Two gaps: 100 µs that are the host's, then 20 µs queued."""
    return measured(
        tmp_path,
        [
            call(0, 1_000, 1),
            operation(10_000, 50_000, correlation=1),
            call(150_000, 151_000, 2),
            operation(150_000, 190_000, correlation=2, name="second"),
            call(160_000, 161_000, 3),
            operation(210_000, 220_000, correlation=3, name="third"),
            *events,
        ],
    )


def test_the_longest_come_first_and_no_more_than_asked_for(tmp_path):
    device = loop(tmp_path)
    assert [gap.ended_by for gap in device.longest] == ["second", "third"]
    assert [gap.cause for gap in device.longest] == ["host", "queued"]
    (only,) = longest(device.view, device.step, device.gaps, most=1)
    assert only == device.longest[0]


def test_the_stack_is_that_of_where_most_time_went(tmp_path):
    device = loop(
        tmp_path,
        span(40_000, 200_000, "loop"),
        span(55_000, 70_000, "short"),
        span(80_000, 140_000, "long"),
    )
    assert device.longest[0].stack == ("loop", "long")


def test_the_stack_of_a_gap_that_is_not_the_hosts_is_that_of_its_launch(tmp_path):
    device = loop(tmp_path, span(155_000, 165_000, "late"), span(190_000, 215_000, "later"))
    assert device.longest[1].stack == ("late", "cudaLaunchKernel")


def test_a_gap_of_unknown_launch_has_no_stack(tmp_path):
    events = [operation(0, 10_000), span(0, 40_000, "loop"), operation(30_000, 40_000)]
    (gap,) = measured(tmp_path, events).longest
    assert (gap.thread, gap.stack, gap.step) == ("", (), -1)
