"""What is noise, and what is more: intervals that hold for all figures at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import idlescope
from idlescope.analysis.comparison import noise
from idlescope.analysis.comparison.breakdown import (
    HOST_PREFIX,
    HOST_WORK,
)
from idlescope.analysis.comparison.compare import compare
from idlescope.analysis.comparison.read import read
from tests.make.deep import of
from tests.make.noisy_recordings import recording

PLANTED = {"prepare": 1.03}


TRIALS, STEPS, SPREAD = of(20, deep=40), 500, 0.04  # tests/benchmarks/compare.py has more


PREPARE = f"{HOST_PREFIX}prepare"


def figures(comparison):
    return {
        f.name: f for f in (comparison.headline, *comparison.parts, *comparison.figures)
    }


class TestNoise:
    """At least 95 % of trials on either side: no false alarm, and no regression missed."""

    def test_equal_configurations_show_no_difference_and_a_phase_3_percent_longer_is_found(
        self,
    ):
        same = [
            read(recording((trial, 0), STEPS, spread=SPREAD)) for trial in range(TRIALS + 1)
        ]
        worse = [
            read(recording((trial, 1), STEPS, spread=SPREAD, factors=PLANTED))
            for trial in range(TRIALS)
        ]
        quiet = [
            compare(*pair).verdict.kind == "no difference"
            for pair in itertools.pairwise(same)
        ]
        compared = [compare(*pair) for pair in zip(same[1:], worse, strict=True)]
        found = [
            figures(c)[PREPARE].different and c.verdict.kind in ("slower", "shifted")
            for c in compared
        ]
        assert np.mean(quiet) >= 0.95
        assert np.mean(found) >= 0.95

    def test_the_same_of_five_recordings_a_side_that_differ_as_wholes(self):
        def side(trial, which, factors=None):
            return [
                read(recording((trial, which, i), 100, between=0.004, factors=factors))
                for i in range(5)
            ]

        trials = of(20, deep=30)
        same = [side(trial, 0) for trial in range(trials + 1)]
        quiet = [
            compare(*pair).verdict.kind == "no difference"
            for pair in itertools.pairwise(same)
        ]
        found = [
            figures(compare(same[i], side(i, 1, {"prepare": 1.1})))[PREPARE].different
            for i in range(trials // 2)
        ]
        assert np.mean(quiet) >= 0.95
        assert np.mean(found) >= 0.95

    @pytest.mark.parametrize("steps", [8, 40])
    def test_few_steps_that_resemble_their_neighbours_are_no_reason_for_an_alarm(
        self, steps
    ):
        alarms = [
            compare(*(recording((i, side), steps) for side in (0, 1))).verdict.kind
            not in ("no difference", "cannot tell")
            for i in range(of(20, deep=40))
        ]
        assert np.mean(alarms) <= 0.1

    def test_what_would_have_shown_is_said(self):
        few = compare(recording(1, 8, spread=0.3), recording(2, 8, spread=0.3))
        shows = 100 * few.headline.margin / few.headline.base
        assert shows > 25
        assert few.verdict.text.endswith(f"; one of more than {shows:.2f} % would have.")

    def test_a_regression_that_the_device_hides_is_found_in_the_host_work(self):
        base, other = (
            recording(i, 1000, factors=f, asynchronous=True)
            for i, f in enumerate(({}, {"prepare": 1.05}))
        )
        comparison = compare(base, other)
        assert comparison.verdict.kind == "shifted"
        assert figures(comparison)[f"{HOST_WORK}: prepare"].different
        assert not comparison.headline.different
        assert "No difference shows in time per step" in comparison.verdict.text
        assert "host work: prepare +" in comparison.verdict.text

    def test_intervals_are_equal_for_equal_input_and_narrower_for_longer_recordings(self):
        margins = [
            compare(recording(1, n), recording(2, n)).headline.margin
            for n in (200, 200, 2000)
        ]
        assert margins[0] == margins[1]
        assert margins[2] < margins[0]

    def test_how_runs_differ_is_seen_only_with_several(self):
        """Runs that differ by 5 % as wholes: two look different, five a side do not."""
        runs = [read(recording(i, 400, between=0.05)) for i in range(10)]
        assert compare(runs[0], runs[3]).verdict.kind != "no difference"
        many = compare(runs[:5], runs[5:])
        assert many.verdict.kind == "no difference"
        assert "5 + 5 recordings" in many.noise

    def test_blocks_and_recordings_that_do_not_vary_have_no_noise(self):
        assert noise.of_blocks(np.zeros((8, 3)), 10).tolist() == [0, 0, 0]
        same = np.ones((3, 2))
        assert noise.of_recordings(same, same, independent=1).tolist() == [0, 0]

    def test_a_block_bootstrap_of_independent_blocks_covers_as_the_t_distribution_does(
        self,
    ):
        margin = noise.of_blocks(np.random.default_rng(3).normal(size=(16, 1)), 1e9)[0]
        spread = np.random.default_rng(3).normal(size=16).std(ddof=1) / 4
        assert margin / spread == pytest.approx(
            2.131, rel=0.05
        )  # 97.5 % of t with 15 degrees of freedom

    def test_recordings_cover_as_the_t_distribution_does_of_means(self):
        """With two a side, medians are means: t with 2 degrees of freedom."""
        base, other = np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])
        margin = noise.of_recordings(base, other, independent=1)[0]
        assert margin == pytest.approx(4.303 * np.sqrt(0.5), rel=0.1)

    def test_copies_of_one_measured_recording_tell_no_noise(self):
        one, other = read(recording(1, 50)), read(recording(2, 50))
        copies = compare([one] * 3, [other] * 3)
        assert copies.headline.margin is None
        assert copies.verdict.kind == "cannot tell"
        assert "the 3 + 3 recordings are copies of one for each side" in copies.noise
        assert compare([one, one, read(recording(3, 50))], [other] * 3).headline.margin > 0

    def test_modelled_runs_that_are_equal_to_the_nanosecond_have_no_noise(self):
        def side(device_ms):
            config = idlescope.RunConfig(
                model="tiny",
                tokens=30,
                mode="sync",
                device="modelled",
                host_ms=1,
                device_ms=device_ms,
            )
            return [idlescope.run(config).modes["sync"].analysis for _ in range(3)]

        c = compare(side(2), side(2.1))
        assert c.headline.margin == 0
        assert c.verdict.kind == "slower"
