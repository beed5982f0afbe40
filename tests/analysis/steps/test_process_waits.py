"""Time in which a worker waits for another process is that one's work, and goes on beside its own."""

import pytest

from tests.make.kineto_files import call, operation, span
from tests.make.views import measured

STEPS = 12
US, MS = 1_000, 1_000_000
FRAME = "python_function"
DEQUEUE = "vllm/distributed/device_communicators/shm_broadcast.py(680): dequeue"
OWN_NS = 500 * US


def worker(waits_ns, device_ns, asynchronous=False):
    """A worker of vLLM that takes each step's batch from EngineCore, launches it and waits.

    In an asynchronous loop it finds the next batch there, and EngineCore waits for the device.
    """
    events, now, free = [], MS, 0
    for step in range(STEPS):
        if asynchronous and step > 1:
            waits_ns = max(free - device_ns - now - OWN_NS, 20 * US)
        events.append(span(now, now + waits_ns, DEQUEUE, FRAME))
        begin = now + waits_ns
        now = begin + OWN_NS
        start = max(now + 8 * US, free)
        free = start + device_ns
        events += [
            span(begin, now, "execute_context_0(0)_generation_8(8)"),
            call(now - 10 * US, now - 4 * US, step + 1, "cudaGraphLaunch"),
            operation(start, free, correlation=step + 1),
        ]
        if not asynchronous:
            events.append(call(now, free + 5 * US, 0, "cudaEventSynchronize"))
            now = free + 5 * US
    return events


def test_it_is_no_host_work_of_a_step(tmp_path):
    device = measured(tmp_path, worker(3 * MS, 2 * MS))
    assert device.steps.host[1:].max() < 600 * US
    doing = next(iter(device.host_ns))
    assert doing == "waits for another process (shm_broadcast)"


@pytest.mark.parametrize(
    ("waits_ns", "device_ns", "asynchronous_ns"),
    [(3 * MS, 6 * MS, 6 * MS), (3 * MS, 2 * MS, 3 * MS), (200 * US, 300 * US, OWN_NS)],
    ids=["the device is slowest", "the other process is", "this one is"],
)
def test_asynchronously_the_slowest_of_both_and_the_device_sets_the_pace(
    tmp_path, waits_ns, device_ns, asynchronous_ns
):
    device = measured(tmp_path, worker(waits_ns, device_ns))
    assert device.batching.kind == "synchronous"
    predicted_ns = device.prediction.predicted.step_ns
    assert predicted_ns == pytest.approx(asynchronous_ns, rel=0.03)


def test_what_is_asynchronous_already_stays_as_it_is(tmp_path):
    device = measured(tmp_path, worker(100 * US, 6 * MS, asynchronous=True))
    assert device.batching.kind == "asynchronous"
    assert device.prediction.predicted.step_ns == pytest.approx(6 * MS, rel=0.01)
