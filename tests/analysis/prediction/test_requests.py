"""The requests of a recording: those that arrive during the run, and preempted ones."""

from __future__ import annotations

import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.prediction.replays import Replays
from idlescope.errors import TraceError


def test_preempted_requests_are_replayed_in_the_steps_that_were_recorded():
    result = run(
        RunConfig(
            model="8b",
            tokens=100,
            batch_size=32,
            requests=64,
            prompt_tokens="uniform:1,700",
            host_ms=2,
            kv_blocks=600,
            device="modelled",
        )
    )
    sync = result.modes["sync"]
    assert sum(r.preemptions for r in sync.finished) > 0
    assert Replays(sync.trace, sync.result).requests is None
    assert result.predicted().total_ns == pytest.approx(
        result.modes["async"].total_ns, rel=0.03
    )


@pytest.mark.parametrize("arrival", ["poisson:20", "poisson:100", "burst:16,0.5"])
def test_requests_that_arrive_during_the_run_are_refused(arrival):
    config = RunConfig(
        model="1b",
        tokens=30,
        requests=64,
        arrival=arrival,
        batch_size=16,
        host_ms=2,
        device="modelled",
    )
    result = run(config)
    assert result.predicted() is None
    for mode in result.modes.values():
        assert mode.result.prediction is None
        with pytest.raises(TraceError, match="requests arrived during the run"):
            idlescope.predict(mode.analysis)
