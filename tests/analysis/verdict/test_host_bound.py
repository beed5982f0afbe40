"""Host-bound is what a device is only where its host works longer than it does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import idlescope
from idlescope.analysis.verdict import verdict
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, operation, span, write

STEP_NS = 100_000


def loop_without_waits(work_ns, kernel_ns):
    """Steps of 100 us in which the host works for a while and never waits for the device."""
    events = []
    for step in range(8):
        begin = step * STEP_NS
        launched = begin + work_ns
        end = launched + 500 + kernel_ns
        events += [
            span(begin, launched + 300, "execute_context_0(0)_generation_8(8)"),
            call(launched, launched + 300, step + 1, "cudaGraphLaunch"),
            operation(launched + 500, end, correlation=step + 1),
        ]
    return events


@pytest.mark.parametrize(
    ("work_ns", "kernel_ns"), [(60_000, 30_000), (90_000, 5_000), (20_000, 70_000)]
)
def test_the_verdict_agrees_with_the_two_times_beside_it(tmp_path, work_ns, kernel_ns):
    trace = open_trace(write(tmp_path / "t.json", loop_without_waits(work_ns, kernel_ns)))
    (device,) = idlescope.analyze(trace).results
    assert device.idle_pct > 20
    longer = int(device.steps.host.sum()) > int(device.steps.device.sum())
    assert (device.verdict.kind == "host-bound") is longer, device.verdict.text


@pytest.mark.parametrize(
    ("host_factor", "kind"), [(10.0, "host-bound"), (0.01, "host work exposed")]
)
def test_the_same_gaps_are_read_by_which_side_is_longer(tmp_path, host_factor, kind):
    trace = open_trace(write(tmp_path / "t.json", loop_without_waits(60_000, 30_000)))
    seen = []
    judge = verdict.judge

    def watched(findings):
        seen.append(findings)
        return judge(findings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idlescope.analysis.analyze.judge", watched)
        idlescope.analyze(trace)
    host = (seen[0].steps.device * host_factor).astype("int64")
    findings = replace(seen[0], steps=replace(seen[0].steps, host=host))
    assert judge(findings).kind == kind
