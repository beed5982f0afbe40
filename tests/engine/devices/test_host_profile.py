"""The host of a modelled GPU: true to what was measured on a server, and said in every name."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope import RunConfig, run
from idlescope.errors import ConfigError
from idlescope.hardware.gpus import called, gpu, host_of
from idlescope.hardware.latencies import (
    DEFAULT_HOST_PROFILE,
    HOST_PROFILES,
    SERVER_HOST,
    THIS_HOST,
)
from tests.make.h200_runs import of_sweep, published

MODES = ("sync", "async")


class Errors:
    """How far modelled runs are from measured ones, by mode: arrays over runs."""

    def __init__(self, runs):
        self.idle_points = {mode: [] for mode in MODES}
        self.total_pct = {mode: [] for mode in MODES}
        for measured in runs:
            modelled = modelled_run(measured)
            idle = modelled.result.idle_pct - measured.idle_pct
            total = 100 * (modelled.total_ns / 1e9 / measured.total_s - 1)
            self.idle_points[measured.mode].append(abs(idle))
            self.total_pct[measured.mode].append(abs(total))


def modelled_run(measured):
    config = RunConfig(
        model=measured.model,
        device="modelled:h200",
        mode=measured.mode,
        batch_size=measured.batch_size,
        tokens=measured.tokens,
        prompt_tokens=measured.prompt_tokens,
    )
    return run(config).modes[measured.mode]


@pytest.fixture(scope="module")
def errors():
    return Errors([*of_sweep(), *published()])


@pytest.mark.slow
class TestAgainstWhatWasMeasured:
    """17 configurations on an H200 in two modes (reports/h200)."""

    def test_all_of_them_are_replayed(self, errors):
        assert {mode: len(errors.idle_points[mode]) for mode in MODES} == {
            "sync": 17,
            "async": 17,
        }

    def test_synchronous_idle_is_within_3_points_in_the_median_and_6_at_most(self, errors):
        assert np.median(errors.idle_points["sync"]) < 3
        assert max(errors.idle_points["sync"]) < 6

    def test_asynchronous_idle_is_within_half_a_point(self, errors):
        assert max(errors.idle_points["async"]) < 0.5

    @pytest.mark.parametrize("mode", MODES)
    def test_total_time_is_within_5_per_cent_in_the_median(self, errors, mode):
        assert np.median(errors.total_pct[mode]) < 5


def tiny(**options):
    return run(
        RunConfig(model="tiny", device="modelled", tokens=40, batch_size=4, **options)
    )


def test_the_host_of_a_server_costs_the_same_on_every_machine():
    first, second = tiny(), tiny()
    for mode in MODES:
        assert first.modes[mode].total_ns == second.modes[mode].total_ns
        assert first.modes[mode].result.host_ns == second.modes[mode].result.host_ns


def test_a_step_costs_what_the_profile_says():
    """Of a synchronous decode step all but the copy in is idle: the device waits for the host."""
    profile = HOST_PROFILES[SERVER_HOST]
    run = tiny(mode="sync", device_ms=1.0).modes["sync"]
    phases = sum(cost.of(4) for cost in vars(profile.work).values())
    ranges = run.trace.ranges
    in_phases = 0
    for name in ("schedule", "prepare", "update"):
        rows = ranges.take(ranges.name == run.trace.name_index(name))
        in_phases += int(np.median((rows.end - rows.start)[rows.step >= 0]))
    assert in_phases == phases
    assert run.result.occupancy.idle_ns / 40 > phases + profile.wake_ns


def test_more_rows_cost_the_host_more():
    for cost in vars(HOST_PROFILES[SERVER_HOST].work).values():
        assert 0 < cost.of(1) < cost.of(128) < 3 * cost.of(1)


@pytest.mark.parametrize("key", HOST_PROFILES)
def test_every_name_says_the_host_and_still_the_gpu(key):
    result = tiny(host_profile=key)
    name = result.summary()["device"]["name"]
    assert name == f"modelled NVIDIA H200 SXM, host {key}"
    assert (called(name), host_of(name)) == (gpu("h200"), key)
    assert name in result.verdict()
    assert result.modes["sync"].trace.meta.extra["device"] == name


def test_a_server_is_the_default_and_host_ms_overrides_it():
    assert RunConfig().host_profile == DEFAULT_HOST_PROFILE == SERVER_HOST
    fixed = [tiny(host_ms=1.0, host_profile=key) for key in HOST_PROFILES]
    assert len({result.modes["sync"].total_ns for result in fixed}) == 1
    assert {result.device.name for result in fixed} == {"modelled NVIDIA H200 SXM"}


def test_a_wait_for_what_is_there_already_does_not_block():
    """Where the host is the slower side nobody wakes it: a step costs its own work and calls."""
    profile = HOST_PROFILES[SERVER_HOST]
    asynchronous = tiny(device_ms=0.001).modes["async"]
    step_ns = asynchronous.total_ns / 40
    work_ns = sum(cost.of(4) for cost in vars(profile.work).values())
    assert step_ns == pytest.approx(work_ns + profile.calls_ns, rel=0.05)


def test_the_work_of_this_machine_is_timed_where_asked_for():
    assert HOST_PROFILES[THIS_HOST].work is None
    server, here = tiny(mode="sync"), tiny(mode="sync", host_profile=THIS_HOST)
    assert here.modes["sync"].total_ns != server.modes["sync"].total_ns


def test_one_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(
        ConfigError, match=r"no host profile .*'x'.*h200-server, measured-here"
    ):
        RunConfig(host_profile="x")
