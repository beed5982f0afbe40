"""What changed between recordings is told from noise, adds up, and is explained."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import idlescope
from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison import noise
from idlescope.analysis.comparison.blocks import MOST_BLOCKS
from idlescope.analysis.comparison.breakdown import (
    COMPUTE,
    HOST_PREFIX,
    HOST_WORK,
    IDLE_PREFIX,
)
from idlescope.analysis.comparison.columns import OTHER_HOST
from idlescope.analysis.comparison.compare import REST, compare
from idlescope.analysis.comparison.read import read
from idlescope.analysis.idle.host_time import divide
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.recording import files as stored
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, write
from tests.make.noisy_recordings import BATCH, recording

PLANTED = {"prepare": 1.03}
TRIALS, STEPS, SPREAD = 200, 500, 0.04
PREPARE = f"{HOST_PREFIX}prepare"
SYNC, ASYNC = FIXTURES / "transformers_sync.json.gz", FIXTURES / "transformers_async.json.gz"


def figures(comparison):
    return {f.name: f for f in (comparison.headline, *comparison.parts, *comparison.figures)}


class TestNoise:
    """At least 95 % of trials on either side: no false alarm, and no regression missed."""

    def test_two_recordings_of_one_configuration_show_no_difference_and_a_phase_that_is_3_percent_longer_is_found(
        self,
    ):
        same = [read(recording((trial, 0), STEPS, spread=SPREAD)) for trial in range(TRIALS + 1)]
        worse = [
            read(recording((trial, 1), STEPS, spread=SPREAD, factors=PLANTED))
            for trial in range(TRIALS)
        ]
        quiet = [
            compare(*pair).verdict.kind == "no difference" for pair in itertools.pairwise(same)
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

        same = [side(trial, 0) for trial in range(101)]
        quiet = [
            compare(*pair).verdict.kind == "no difference" for pair in itertools.pairwise(same)
        ]
        found = [
            figures(compare(same[i], side(i, 1, {"prepare": 1.1})))[PREPARE].different
            for i in range(25)
        ]
        assert np.mean(quiet) >= 0.95
        assert np.mean(found) >= 0.95

    @pytest.mark.parametrize("steps", [8, 40])
    def test_few_steps_that_resemble_their_neighbours_are_no_reason_for_an_alarm(self, steps):
        alarms = [
            compare(*(recording((i, side), steps) for side in (0, 1))).verdict.kind
            not in ("no difference", "cannot tell")
            for i in range(100)
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
        assert "No difference shows in time a step" in comparison.verdict.text
        assert "host work: prepare +" in comparison.verdict.text

    def test_intervals_are_equal_for_equal_input_and_narrower_for_longer_recordings(self):
        margins = [
            compare(recording(1, n), recording(2, n)).headline.margin for n in (200, 200, 2000)
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

    def test_a_block_bootstrap_of_independent_blocks_covers_as_the_t_distribution_does(self):
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
        assert known["time a step"].base == result.occupancy.window_ns / len(result.steps)
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
            abs(p.change) for p in compare(recording(1), recording(2, factors={"prepare": 2})).parts
        ]
        assert changes == sorted(changes, reverse=True)

    def test_the_planted_change_explains_the_difference(self):
        c = compare(recording(1, 1000), recording(2, 1000, factors={"prepare": 1.5}))
        assert c.verdict.kind == "slower"
        assert c.parts[0].name == PREPARE
        assert c.headline.percent == pytest.approx(8.6, abs=1.5)  # 1.25 of 14.6 ms
        assert f"% of that is {PREPARE} (+1." in c.verdict.text

    def test_a_change_that_another_offsets_is_said(self):
        c = compare(recording(1, 1000), recording(2, 1000, factors={"prepare": 2.5, "device": 0.8}))
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


class TestUnits:
    def test_tokens_decide_where_steps_give_out_different_numbers(self):
        c = compare(recording(1), recording(2, tokens=2 * BATCH))
        assert c.unit == "token"
        assert c.verdict.kind == "faster"
        assert c.headline.percent == pytest.approx(-50, abs=1)
        assert "so times are given a token" in " ".join(c.warnings)

    def test_steps_that_are_asked_for_are_used_and_warned_of(self):
        c = compare(recording(1), recording(2, tokens=2 * BATCH), per="step")
        assert "their steps are not the same work" in " ".join(c.warnings)
        assert figures(c)["time a token"].percent == pytest.approx(-50, abs=1)

    def test_without_tokens_there_is_no_time_a_token(self):
        with pytest.raises(ConfigError, match="does not tell its tokens"):
            compare(SYNC, ASYNC, per="token")
        assert "time a token" not in figures(compare(SYNC, ASYNC))
        with pytest.raises(ConfigError, match="--per hour: give step, token, window"):
            compare(SYNC, ASYNC, per="hour")

    def test_without_steps_shares_of_the_window_are_compared(self):
        def stepless(seed, factors):
            trace = recording(seed, factors=factors)
            anonymous = trace.operations.replace(step=-1 + 0 * trace.operations.step)
            calls = trace.calls.take(
                trace.calls.correlation < 0
            )  # no launches and no waits: nothing to find steps by
            return idlescope.Trace(**{**vars(trace), "operations": anonymous, "calls": calls,
                                      "ranges": trace.ranges.take(slice(0, 0))})  # fmt: skip

        traces = stepless(1, {}), stepless(2, {"prepare": 3})
        assert all(len(analyze(t).results[0].steps) == 0 for t in traces)
        c = compare(*traces)
        assert c.unit == "window"
        assert c.headline.name == "idle"
        assert c.headline.change == pytest.approx(
            18, abs=2
        )  # points: 4.2 of 14.6 ms, 9.2 of 19.6 ms
        assert c.verdict.kind == "cannot tell"  # no launch is known


class TestSides:
    def test_a_run_folder_needs_a_mode_where_it_has_two(self, tmp_path):
        for mode in ("sync", "async"):
            stored.write(
                recording(1, 50, asynchronous=mode == "async"),
                tmp_path / "run" / f"{mode}.recording",
            )
        (tmp_path / "run" / "summary.json").write_text("{}")
        folder = tmp_path / "run"
        with pytest.raises(ConfigError, match="holds sync and async: choose one"):
            compare(folder, folder)
        with pytest.raises(ConfigError, match="no both"):
            compare(folder, folder, mode="both")
        c = compare(folder / "summary.json", str(folder), mode="sync")
        assert c.verdict.kind == "no difference"
        assert c.headline.change == 0
        assert compare(folder / "sync.recording", folder, mode="async").verdict.kind == "faster"

    def test_an_analysis_json_is_one_block_and_the_same_figures(self, tmp_path):
        base, other = (analyze(idlescope.open(path)) for path in (SYNC, ASYNC))
        (tmp_path / "analysis.json").write_text(json.dumps(base.to_json(), indent=1))
        c, exact = compare(tmp_path, other), compare(base, other)
        assert [p.to_json()["change"] for p in c.parts] == pytest.approx(
            [p.change for p in exact.parts]
        )
        assert c.verdict.kind == "cannot tell"
        assert c.headline.interval is None
        assert "whether that is more than noise cannot be told" in c.verdict.text
        with pytest.raises(ConfigError, match="are made already: give the trace"):
            compare(tmp_path, other, window="steps:1-2")

    def test_an_analysis_json_that_is_not_whole_is_refused(self, tmp_path):
        path = tmp_path / "analysis.json"
        path.write_text('{"schema": 1, "source": {}, "devices": []}')
        with pytest.raises(TraceError, match=r"not a whole analysis\.json"):
            compare(path, SYNC)
        whole = analyze(idlescope.open(SYNC)).to_json()
        for wrong in ("NaN", "1e999", "-5", "1" * 400):
            path.write_text(
                json.dumps(whole, indent=1).replace(f'"launch": {8536398}', f'"launch": {wrong}')
            )
            with pytest.raises(TraceError, match=r"not a whole analysis\.json"):
                compare(path, SYNC)
        path.write_text('{"schema": 99, "source": {}, "devices": []}')
        with pytest.raises(TraceError, match="has schema 99"):
            compare(path, SYNC)

    def test_a_window_is_compared_alone(self):
        c = compare(SYNC, ASYNC, window="steps:1-4")
        assert c.base.first.steps.sum() < 6

    def test_what_is_analysed_already_has_its_window(self):
        with pytest.raises(ConfigError, match="are made already: give the trace"):
            compare(analyze(idlescope.open(SYNC)), ASYNC, window="steps:1-4")

    def test_a_side_with_no_recording_is_refused(self):
        with pytest.raises(ConfigError, match="has no recording"):
            compare([], [SYNC])

    def test_a_trace_that_spans_no_time_is_refused(self, tmp_path):
        instant = write(
            tmp_path / "instant.json", [call(0, 10, 1), operation(100, 100, correlation=1)]
        )
        with pytest.raises(TraceError, match="spans no time"):
            compare(instant, SYNC)

    def test_modelled_against_measured_is_said(self):
        modelled = idlescope.run(
            idlescope.RunConfig(model="tiny", tokens=30, mode="sync", device="modelled")
        )
        c = compare(recording(1), modelled.modes["sync"].analysis)
        text = " ".join(c.warnings)
        assert "A is measured and B is modelled" in text
        assert "A ran on Test GPU, B on modelled NVIDIA H200 SXM" in text
        assert "(modelled, not measured)" in c.other.label

    def test_warnings_of_the_recordings_are_said_once(self):
        early = "launched before the recording began"
        for others in ([ASYNC], [ASYNC, ASYNC]):
            assert [w[:18] for w in compare(ASYNC, others).warnings if early in w] == [
                "A and B: device 0:"
            ]

    def test_a_trace_that_lost_records_concludes_nothing(self):
        half = recording(1)
        lost = half.calls.correlation % 2 == 0
        damaged = idlescope.Trace(**{**vars(half), "calls": half.calls.take(lost)})
        assert analyze(damaged).results[0].verdict.kind == "cannot tell"
        c = compare(damaged, recording(2))
        assert c.verdict.kind == "cannot tell"
        assert "Nothing can be concluded. A cannot be trusted: Only 50.0 %" in c.verdict.text

    def test_runs_of_other_lengths_and_batching_are_named(self):
        c = compare(recording(1, 100), recording(2, 400, asynchronous=True))
        assert "A has 100 steps and B 400" in " ".join(c.warnings)
        assert c.verdict.text.endswith("A is synchronous, B asynchronous.")

    def test_a_deterministic_run_compared_with_itself_differs_in_nothing(self):
        config = idlescope.RunConfig(
            model="tiny", tokens=100, mode="sync", device="modelled", host_ms=1, device_ms=2
        )
        a, b = (idlescope.run(config).modes["sync"].analysis for _ in range(2))
        c = compare(a, b)
        assert c.verdict.kind == "no difference"
        assert all(x.change == 0 for x in figures(c).values())


@pytest.mark.parametrize("engine", ["transformers", "idlescope"])
def test_what_was_launched_before_the_recording_is_no_time_of_its_steps(engine):
    sync, asynchronous = (FIXTURES / f"{engine}_{mode}.json.gz" for mode in ("sync", "async"))
    analysis = idlescope.analyze(idlescope.open(asynchronous))
    steps = analysis.results[0].steps
    each = (steps.done[-1] - steps.done[0]) / (len(steps) - 1)  # ns, counted on the device
    assert compare(sync, asynchronous).headline.other == pytest.approx(each, rel=0.005)
