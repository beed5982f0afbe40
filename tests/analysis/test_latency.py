"""Latency figures: of arrays written by hand, and of a deterministic run, to the nanosecond."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import astuple

from idlescope import RunConfig, run
from idlescope.analysis.latency import latencies, summarise

# A synchronous step of 1 ms on the host and 2 ms on the device, ns. The host's 1 ms less the API
# calls of a step, 39,300, is spread over its phases, 2 % of it after the token is there
# (engine/clock.py, engine/devices/modelled.py).
AFTER = 19_214
BEFORE = 1_000_000 - 39_300 - AFTER
CALLS = 14_200 + 2 * 840 + 6_700  # copy, two events, graph
DEVICE = (
    1_500 + 2_000_000 + 1_600 + 2_500 + 15_000
)  # arrival, compute, event, copy back, wake-up
FIRST = BEFORE + CALLS + DEVICE
STEP = FIRST + AFTER


def fixed(**options):
    return run(
        RunConfig(model="tiny", device="modelled", host_ms=1.0, device_ms=2.0, **options)
    )


def test_figures_of_three_requests():
    figures = latencies(
        arrival=np.array([0, 1_000_000, 5_000_000]),
        first_token=np.array([2_000_000, 5_000_000, 11_000_000]),
        finished=np.array([12_000_000, 9_000_000, 11_000_000]),
        tokens=np.array([6, 3, 1]),
    )
    assert figures["ttft_ms"] == {
        "mean": 4.0,
        "p50": 4.0,
        "p90": pytest.approx(5.6),
        "p99": pytest.approx(5.96),
    }
    assert figures["time_per_output_token_ms"] == {
        "mean": 2.0,
        "p50": 2.0,
        "p90": 2.0,
        "p99": 2.0,
    }
    assert figures["latency_ms"]["mean"] == pytest.approx(26 / 3)


def test_nothing_finished_has_no_figures_and_one_token_no_time_between_tokens():
    none = np.empty(0, np.int64)
    assert set(latencies(none, none, none, none).values()) == {None}
    one = np.ones(1, np.int64)
    assert latencies(one, one + 5, one + 5, one)["time_per_output_token_ms"] is None


def test_percentiles_are_interpolated_linearly_between_ranks():
    assert summarise(np.arange(101.0)) == {
        "mean": 50.0,
        "p50": 50.0,
        "p90": 90.0,
        "p99": 99.0,
    }
    assert summarise(np.array([1.0, 2.0]))["p90"] == pytest.approx(1.9)


def test_a_deterministic_run_has_exactly_the_latencies_of_its_steps():
    (mode,) = fixed(
        requests=1, batch_size=1, prompt_tokens=5, tokens=4, mode="sync"
    ).modes.values()
    expected = {
        "ttft_ms": FIRST,
        "time_per_output_token_ms": STEP,
        "latency_ms": FIRST + 3 * STEP,
    }
    for figure, ns in expected.items():
        assert set(astuple(mode.latencies()[figure])) == {ns / 1e6}


def test_time_in_the_queue_counts():
    (mode,) = fixed(
        requests=3, batch_size=1, prompt_tokens=5, tokens=4, mode="sync"
    ).modes.values()
    waited = [FIRST + k * 4 * STEP for k in range(3)]
    assert [r.first_token_ns for r in mode.finished] == waited
    assert mode.latencies()["ttft_ms"].p50 == waited[1] / 1e6
    assert mode.latencies()["latency_ms"].mean == pytest.approx(
        (waited[1] + 3 * STEP) / 1e6
    )


def test_a_request_that_arrives_while_nothing_runs_starts_at_once():
    (mode,) = fixed(
        requests=3,
        batch_size=1,
        prompt_tokens=5,
        tokens=4,
        mode="sync",
        arrival="burst:1,1",
    ).modes.values()
    assert [r.arrival_ns for r in mode.finished] == [0, 10**9, 2 * 10**9]
    assert [r.first_token_ns - r.arrival_ns for r in mode.finished] == [FIRST] * 3
    assert mode.result.host_ns["no demand"] > 1.9e9


def test_an_interrupted_run_has_the_figures_of_what_finished():
    def stop(mode, engine):
        if engine.steps == 6:
            raise KeyboardInterrupt

    config = RunConfig(model="tiny", device="modelled", host_ms=1.0, device_ms=2.0, batch_size=1, requests=3, tokens=4,
                       prompt_tokens=5)  # fmt: skip
    (mode,) = run(config, stop).modes.values()
    assert mode.latencies()["latency_ms"].mean == (FIRST + 3 * STEP) / 1e6
