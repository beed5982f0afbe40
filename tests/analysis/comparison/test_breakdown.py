"""The parts of a change add up to it, and are those of the analysis."""

from __future__ import annotations

import numpy as np
import pytest

import idlescope
from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison.blocks import MOST_BLOCKS
from idlescope.analysis.comparison.breakdown import (
    COMPUTE,
    HOST_PREFIX,
    IDLE_PREFIX,
)
from idlescope.analysis.comparison.columns import OTHER_HOST
from idlescope.analysis.comparison.compare import REST, compare
from idlescope.analysis.comparison.read import read
from tests.conftest import FIXTURES
from tests.make.host_time import divide
from tests.make.noisy_recordings import BATCH, recording

PREPARE = f"{HOST_PREFIX}prepare"


SYNC, ASYNC = (
    FIXTURES / "transformers_sync.json.gz",
    FIXTURES / "transformers_async.json.gz",
)


def figures(comparison):
    return {
        f.name: f for f in (comparison.headline, *comparison.parts, *comparison.figures)
    }


class TestParts:
    @pytest.mark.parametrize("per", ["step", "token", "window"])
    def test_parts_add_up_to_the_change(self, per):
        c = compare(recording(1), recording(2, asynchronous=True), per=per)
        for side in ("base", "other", "change"):
            assert sum(getattr(p, side) for p in c.parts) == pytest.approx(
                getattr(c.headline, side), rel=1e-9, abs=1e-6
            )
        assert sum(c.share(p) for p in c.parts) == pytest.approx(100)
        assert REST not in {p.name for p in c.parts}

    def test_parts_of_real_traces_add_up_and_are_those_of_the_analysis(self):
        c = compare(SYNC, ASYNC)
        assert sum(p.change for p in c.parts) == pytest.approx(c.headline.change)
        result = analyze(idlescope.open(SYNC)).results[0]
        known = figures(c)
        assert known["time per step"].base == result.occupancy.window_ns / len(result.steps)
        assert known[COMPUTE].base == result.occupancy.compute_ns / len(result.steps)
        for cause in ("host", "launch", "queued"):
            assert known[f"{IDLE_PREFIX}{cause}"].base == result.gaps.totals()[cause] / len(
                result.steps
            )
        name = "prepare (cb:prepare_batch_tensors)"
        assert known[f"{HOST_PREFIX}{name}"].base == pytest.approx(
            result.host_ns[name] / len(result.steps)
        )

    def test_medians_of_recordings_add_up_with_a_rest(self):
        c = compare(
            [recording(i, 50, between=0.1) for i in range(5)],
            [recording(i, 50) for i in range(5, 8)],
        )
        assert REST in {p.name for p in c.parts}
        assert sum(p.change for p in c.parts) == pytest.approx(c.headline.change)

    def test_parts_are_sorted_by_what_they_change(self):
        changes = [
            abs(p.change)
            for p in compare(recording(1), recording(2, factors={"prepare": 2})).parts
        ]
        assert changes == sorted(changes, reverse=True)

    def test_the_planted_change_explains_the_difference(self):
        c = compare(recording(1, 1000), recording(2, 1000, factors={"prepare": 1.5}))
        assert c.verdict.kind == "slower"
        assert c.parts[0].name == PREPARE
        assert c.headline.percent == pytest.approx(8.6, abs=1.5)  # 1.25 of 14.6 ms
        assert f"% of that is {PREPARE} (+1." in c.verdict.text

    def test_a_change_that_another_offsets_is_said(self):
        c = compare(
            recording(1, 1000), recording(2, 1000, factors={"prepare": 2.5, "device": 0.8})
        )
        assert "Most grew idle: host: prepare" in c.verdict.text
        assert "against that, compute (-" in c.verdict.text

    def test_small_divisions_of_host_are_summed_up(self):
        c = compare(FIXTURES / "loop_eager.json.gz", FIXTURES / "loop_sync.json.gz")
        named = [p for p in c.parts if p.name.startswith(HOST_PREFIX)]
        total = (
            analyze(idlescope.open(FIXTURES / "loop_eager.json.gz"))
            .results[0]
            .gaps.totals()["host"]
            / 12
        )
        assert OTHER_HOST in {p.name for p in named}
        assert sum(p.base for p in named) == pytest.approx(total)

    def test_blocks_divide_host_idle_as_the_whole_is_divided(self):
        analysis = analyze(idlescope.open(SYNC))
        result, sample = analysis.results[0], read(analysis)
        whole = divide(result.view, result.gaps)
        assert whole == result.host_ns
        for label, ns in whole.items():
            assert sample.parts[f"{HOST_PREFIX}{label}"].sum() == ns
        assert sample.window.sum() == result.occupancy.window_ns

    def test_blocks_are_of_equally_many_steps_and_tokens(self):
        sample = read(recording(1, 401))
        assert sample.blocks == MOST_BLOCKS
        assert sample.steps.sum() == 401
        assert np.ptp(sample.steps) == 1
        assert sample.tokens.sum() == 401 * BATCH
        assert np.abs(sample.tokens - BATCH * sample.steps).max() <= BATCH


@pytest.mark.parametrize("engine", ["transformers", "idlescope"])
def test_what_was_launched_before_the_recording_is_no_time_of_its_steps(engine):
    sync, asynchronous = (
        FIXTURES / f"{engine}_{mode}.json.gz" for mode in ("sync", "async")
    )
    analysis = idlescope.analyze(idlescope.open(asynchronous))
    steps = analysis.results[0].steps
    each = (steps.done[-1] - steps.done[0]) / (len(steps) - 1)  # ns, counted on the device
    assert compare(sync, asynchronous).headline.other == pytest.approx(each, rel=0.005)
