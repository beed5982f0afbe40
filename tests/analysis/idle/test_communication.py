"""Communication is what such kernels cover; exposed is what no other kernel covers."""

from idlescope.analysis.verdict.findings import VerdictKind
from tests.make.kineto_files import call, operation
from tests.make.views import measured

ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"


def communicating(start, end, correlation=0, stream=8):
    return operation(start, end, correlation=correlation, stream=stream, name=ALL_REDUCE)


def test_exposed_communication_is_what_computing_does_not_cover(tmp_path):
    events = [
        call(0, 10, 1),
        operation(20, 120, correlation=1),
        communicating(100, 200, 1),
        communicating(150, 180, 1, stream=9),  # beside another: counted once
        operation(190, 300, correlation=1),
        operation(195, 205, kind="memcpy", correlation=1, stream=9),
    ]
    found = measured(tmp_path, events).communication
    assert found.communication_ns == 100
    assert found.exposed_ns == 190 - 120
    assert found.useful_compute_ns == 280 - 70
    assert found.exposed_ns + found.useful_compute_ns == 280


def test_only_the_window_counts(tmp_path):
    events = [
        call(0, 10, 1),
        operation(20, 1020, correlation=1),
        communicating(1020, 3020, 1),
        operation(3020, 4020, correlation=1),
    ]
    device = measured(tmp_path, events, window="time:0us-2us")
    assert device.communication.communication_ns == 2000 - 1000
    assert device.communication.useful_compute_ns == 1000


def test_a_device_without_communication_has_none(tmp_path):
    found = measured(tmp_path, [call(0, 10, 1), operation(20, 120, correlation=1)])
    assert found.communication.communication_ns == 0
    assert found.communication.useful_compute_ns == 100


def test_a_device_that_only_communicates_for_long_is_bound_by_it(tmp_path):
    events = [call(0, 10, 1)]
    for step in range(10):
        start = 20 + 1000 * step
        events += [
            operation(start, start + 600, correlation=1),
            communicating(start + 600, start + 990, 1),
        ]
    device = measured(tmp_path, events)
    assert device.verdict.kind == VerdictKind.COMMUNICATION_BOUND
    assert "39.0 % of the window" in device.verdict.text
