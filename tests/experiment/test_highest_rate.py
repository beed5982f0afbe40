"""The highest rate that keeps a latency target: the search, and what a run says of it."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope import RunConfig, run
from idlescope.errors import ConfigError
from idlescope.experiment.highest_rate import AT_ONCE, CLOSE, faster, highest
from idlescope.experiment.target import Target

SERVED = {
    "model": "1b",
    "device": "modelled:h200",
    "batch_size": 4,
    "tokens": 10,
    "requests": 20,
    "arrival": "poisson:20",
}


@pytest.fixture(scope="module")
def made():
    """A run that searched for the rates."""
    return run(RunConfig(**SERVED, target="ttft:20ms"))


@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0, 1.5, 700.0])
def test_the_search_ends_within_two_per_cent_below_the_limit(limit):
    found = highest(lambda factor: factor <= limit)
    assert limit / CLOSE <= found <= limit


def test_no_rate_and_every_rate_are_told():
    assert highest(lambda _: False) is None
    assert highest(lambda _: True) == AT_ONCE


def test_faster_arrivals_are_the_same_requests_closer_together():
    demand = RunConfig(**SERVED).demand
    twice = faster(demand, 2.0)
    assert np.abs(twice.arrival_ns - demand.arrival_ns / 2).max() <= 0.5
    assert twice.output_tokens is demand.output_tokens
    assert not faster(demand, AT_ONCE).arrival_ns.any()


def test_a_run_says_up_to_which_rate_each_mode_keeps_the_target(made):
    rates = made.document.load.highest_requests_per_s
    assert 0 < rates["sync"] < rates["async"]
    sentence = made.statements.this_engine
    assert "A time to the first token of 20 ms (p99) is kept at up to " in sentence
    assert f"up to {rates['async']:,.3g} requests/s asynchronous." in sentence


def test_at_the_rate_that_is_found_the_target_is_kept_and_above_it_not(made):
    rates = made.document.load
    own = rates.requests_per_s
    for factor, kept in ((1.0, True), (1.1, False)):
        rate = 20 * factor * rates.highest_requests_per_s["async"] / own
        config = RunConfig(**{**SERVED, "arrival": f"poisson:{rate}", "mode": "async"})
        assert (run(config).modes["async"].latencies()["ttft_ms"].p99 <= 20.0) is kept


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "token:20"}, "20 what"),
        ({"target": "speed:2ms"}, "give token:20ms"),
        ({"target": "token:20ms", "arrival": "closed"}, "give --arrival poisson:RATE"),
        ({"target": "token:20ms", "device": "cpu", "model": "tiny"}, "--target is for a"),
    ],
)
def test_what_cannot_be_asked_is_said(options, reason):
    with pytest.raises(ConfigError, match=reason):
        run(RunConfig(**{**SERVED, **options}))


def test_a_target_is_read_with_its_unit():
    assert Target.parse("latency:1.5s") == Target("latency", 1500.0)
    assert Target.parse("token:20ms").key == "time_per_output_token_ms"
