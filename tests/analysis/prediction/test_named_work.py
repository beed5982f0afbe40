"""Host work that is gone: a phase, or copies that block."""

from __future__ import annotations

import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.errors import ConfigError
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, span, write
from tests.make.serving_loops import Plan, recorded
from tests.make.views import measured

MS = 1_000_000


def analysed(name):
    return idlescope.analyze(idlescope.open(FIXTURES / name))


def test_a_phase_that_is_gone_takes_its_time_with_it():
    config = RunConfig(
        model="1b",
        tokens=50,
        batch_size=8,
        host_ms=10,
        device_ms=0.2,
        device="modelled",
        mode="sync",
    )
    analysis = run(config).modes["sync"].analysis
    (as_is,) = idlescope.predict(analysis)
    (without,) = idlescope.predict(analysis, without="prepare")
    calls_ns = (
        39_300  # of 10 ms a step the API calls take these; of the rest 95 % is `prepare`
    )
    assert as_is.predicted.step_ns - without.predicted.step_ns == pytest.approx(
        0.95 * (10 * MS - calls_ns), rel=0.001
    )
    assert "no prepare" in {lever.name for lever in as_is.levers}


def loop(path, steps=8, copy_ms=1.0, host_ms=1.0, kernel_ms=4.0, stream=7):
    """A synchronous loop with a copy of unpinned memory before each graph; times in ms."""
    events, now, n = [], 0, 0
    for i in range(steps):
        begin, n = now, n + 3
        now += round(host_ms * MS)
        copied = now + round(copy_ms * MS)
        copy = operation(
            now + 10_000,
            copied - 5_000,
            "memcpy",
            n,
            stream=stream,
            name="Memcpy HtoD (Pageable -> Device)",
        )
        events += [call(now, copied, n, "cudaMemcpyAsync"), copy]
        now = copied + 20_000
        end = now + 20_000 + round(kernel_ms * MS)
        events += [
            call(now - 20_000, now, n + 1, "cudaGraphLaunch"),
            operation(now + 20_000, end, correlation=n + 1),
            call(now, end + 10_000, 0, "cudaStreamSynchronize"),
        ]
        now = end + 10_000
        events.append(span(begin, now, f"ProfilerStep#{i}"))
    return idlescope.analyze(idlescope.open(write(path, events)))


@pytest.mark.parametrize(
    ("stream", "pinned_ms"), [(20, 5.03), (7, 6.99)], ids=["its own", "of the kernels"]
)
def test_pinned_copies_no_longer_cost_the_host(tmp_path, stream, pinned_ms):
    # 5 ms of host work and 3 ms of copying against 4 ms of kernels: the host is the limit, with
    # copies or without, unless these run by turns with the kernels
    loops = loop(tmp_path / "a.json", copy_ms=3, host_ms=5, stream=stream)
    (one,) = idlescope.predict(loops)
    assert one.recorded.step_ns == pytest.approx(12.05 * MS, rel=0.001)
    assert one.predicted.step_ns == pytest.approx(8.02 * MS, rel=0.002)
    pinned = {lever.name: lever.predicted for lever in one.levers}["pinned copies"]
    assert pinned.step_ns == pytest.approx(pinned_ms * MS, rel=0.002)


@pytest.mark.parametrize("depth", [1, 2])
def test_weights_that_are_copied_in_each_step_take_their_time_asynchronously_too(
    tmp_path, depth
):
    """Offloaded to the host, they are copied on the stream of the kernels: 4 ms and 6 ms."""
    plan = Plan(steps=30, depth=depth, offloaded_ns=4 * MS)
    prediction = measured(tmp_path, recorded(plan)).prediction
    assert prediction.predicted.step_ns == pytest.approx(10.015 * MS, rel=0.002)


def test_a_phase_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ConfigError, match="'detokenise': it has d2h, forward, h2d, postprocess, prepare"
    ):
        idlescope.predict(analysed("transformers_sync.json.gz"), without="detokenise")
