"""Idle time for want of requests: told apart from the host's work wherever idle time is divided."""

from __future__ import annotations

import numpy as np
import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.prediction.curve import replayable
from idlescope.analysis.verdict.findings import VerdictKind
from idlescope.analysis.verdict.in_short import main_cause
from idlescope.errors import TraceError
from idlescope.report.tables.gaps import gap_cells
from idlescope.report.tables.trace_at_a_glance import glance_rows
from tests.make.kineto_files import call, operation, span, write

BURSTS, STEPS, QUIET_NS = 3, 8, 200_000_000


@pytest.fixture(scope="module")
def bursts(tmp_path_factory):
    """Bursts of vLLM's steps, and no request for 200 ms between them."""
    events, at, number = [], 1_000_000, 1
    for _ in range(BURSTS):
        for _ in range(STEPS):
            events += [
                span(at, at + 300_000, "execute_context_0(0)_generation_8(8)"),
                call(at + 250_000, at + 260_000, number),
                operation(at + 270_000, at + 4_270_000, correlation=number),
                call(at + 310_000, at + 4_300_000, number + 1, name="cudaEventSynchronize"),
            ]
            at, number = at + 4_300_000, number + 2
        at += QUIET_NS
    path = write(tmp_path_factory.mktemp("bursts") / "bursts.json", events)
    return idlescope.analyze(idlescope.open(path))


def test_gaps_in_which_a_known_engine_does_nothing_are_no_demand(bursts):
    (result,) = bursts.results
    assert result.verdict.kind == VerdictKind.NO_DEMAND
    assert sum(result.host_ns.values()) == result.gaps.totals()["host"]
    quiet_ns = (BURSTS - 1) * QUIET_NS
    assert quiet_ns <= result.host_ns[NO_DEMAND] <= quiet_ns * 1.01
    assert result.host_ns[NO_DEMAND] == result.gaps.no_demand.sum()


def test_no_demand_is_called_so_and_not_the_hosts(bursts):
    (result,) = bursts.results
    assert main_cause(result).name == NO_DEMAND
    cells = gap_cells(result, result.longest[0])
    assert cells.causes.startswith(f"{NO_DEMAND} 100.0 %")
    assert "host" not in cells.causes
    assert dict(glance_rows(bursts.results))[f"  {NO_DEMAND}"] != ["0.0 %"]
    (device,) = bursts.to_json()["devices"]
    longest = device["longest_gaps"][0]
    assert longest["no_demand_ns"] == longest["cause_ns"]["host"]


def test_what_batching_would_give_cannot_be_told_without_demand(bursts):
    (result,) = bursts.results
    assert replayable(bursts.trace, result) is None
    with pytest.raises(TraceError, match="for want of requests"):
        idlescope.predict(bursts)


def test_of_our_own_engine_it_is_what_the_engine_says():
    config = RunConfig(
        device="modelled:h200",
        model="1b",
        tokens=10,
        batch_size=4,
        requests=10,
        arrival="poisson:20",
    )
    result = run(config).modes["sync"].result
    gaps = result.gaps
    assert gaps.no_demand.sum() == result.host_ns[NO_DEMAND] > 0
    assert np.all(gaps.no_demand <= gaps.host)
    longest = result.longest[0]
    assert longest.no_demand_ns > 0.9 * longest.length_ns
    assert gap_cells(result, longest).causes.startswith(NO_DEMAND)
