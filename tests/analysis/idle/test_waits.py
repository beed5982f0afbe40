"""Which calls wait for the device: by name, or since they return only when their copy has ended."""

import pytest

from tests.make.kineto_files import call, operation
from tests.make.views import measured

TO_PAGEABLE = "Memcpy DtoH (Device -> Pageable)"
TO_PINNED = "Memcpy DtoH (Device -> Pinned)"


def waiting_calls(tmp_path, *events):
    view = measured(tmp_path, list(events)).view
    calls = view.trace.calls
    return [view.trace.names[name] for name in calls.name[view.waits]], view


@pytest.mark.parametrize(
    ("name", "returned", "waits"),
    [
        (TO_PAGEABLE, 60_000, True),
        (TO_PAGEABLE, 59_999, False),  # before the copy had ended
        (TO_PINNED, 60_000, False),
    ],
)
def test_a_copy_of_unpinned_memory_blocks_where_it_returns_at_its_end(
    tmp_path, name, returned, waits
):
    names, view = waiting_calls(
        tmp_path,
        call(0, returned, 1, "cudaMemcpyAsync"),
        operation(10_000, 60_000, "memcpy", 1, name=name),
    )
    assert names == (["cudaMemcpyAsync"] if waits else [])
    assert view.blocking_copies.size == int(waits)


def test_a_synchronising_call_waits_and_a_launch_does_not(tmp_path):
    names, _ = waiting_calls(
        tmp_path,
        call(0, 1_000, 1),
        call(2_000, 9_000, 0, "cudaStreamSynchronize"),
        operation(5_000, 8_000, correlation=1),
    )
    assert names == ["cudaStreamSynchronize"]
