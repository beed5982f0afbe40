"""Units, sides, and what is refused or warned of in a comparison."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison.compare import compare
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.model import Device
from idlescope.trace.recording import files as stored
from idlescope.watching.ring import Watched, trace_of
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, write
from tests.make.noisy_recordings import BATCH, recording
from tests.make.watched_loops import MS, REGULAR_NAMES, regular_rows, regular_trace

SYNC, ASYNC = (
    FIXTURES / "transformers_sync.json.gz",
    FIXTURES / "transformers_async.json.gz",
)


def figures(comparison):
    return {
        f.name: f for f in (comparison.headline, *comparison.parts, *comparison.figures)
    }


class TestUnits:
    def test_tokens_decide_where_steps_give_out_different_numbers(self):
        c = compare(recording(1), recording(2, tokens=2 * BATCH))
        assert c.unit == "token"
        assert c.verdict.kind == "faster"
        assert c.headline.percent == pytest.approx(-50, abs=1)
        assert "so times are given per token" in " ".join(c.warnings)

    def test_what_spans_say_of_the_load_counts_of_any_engine(self):
        """SGLang 8B served 32 requests synchronously, and 11 asynchronously."""
        c = compare(*(FIXTURES / f"sglang_8b_{mode}.json.gz" for mode in ("sync", "async")))
        assert (c.unit, c.verdict.kind) == ("token", "slower")
        load = "The load is another: a step gives out 32.0 tokens in A and 11.0 in B."
        assert load in c.verdict.text
        same = compare(
            *(FIXTURES / f"vllm_8b_{mode}.json.gz" for mode in ("sync", "async"))
        )
        assert (same.unit, same.verdict.kind) == ("step", "faster")
        assert "The load is another" not in same.verdict.text

    def test_an_analysis_json_says_the_load_too(self, tmp_path):
        """A baseline of 32 requests, and 11 now: no regression would have been seen."""
        base, other = (FIXTURES / f"sglang_8b_{mode}.json.gz" for mode in ("sync", "async"))
        written = tmp_path / "base.json"
        written.write_text(json.dumps(analyze(idlescope.open(base)).to_json()))
        c = compare(written, other)
        assert c.unit == "token"
        assert "a step gives out 32.0 tokens in A and 11.0 in B" in " ".join(c.warnings)
        assert c.base.prompt_pct == c.other.prompt_pct == 0

    @pytest.mark.parametrize(("every", "differ"), [(10, True), (60, False)])
    def test_prompts_among_the_steps_are_said(self, every, differ):
        """Prompts of 256 tokens are no tokens that are given out."""
        rows = regular_rows(60, step_ns=6 * MS)
        kind, tokens = (rows.steps[name].copy() for name in ("kind", "tokens"))
        kind[every - 1 :: every] = StepKind.MIXED.code
        tokens[every - 1 :: every] = 256
        steps = rows.steps | {"kind": kind, "tokens": tokens}
        said = Watched("events", (), "vllm", "0.24.0", None, steps_in_phases=False)
        device = Device(0, 0, "a GPU")
        rows = rows._replace(steps=steps)
        mixed = trace_of(rows, 10**10, REGULAR_NAMES, (), device, said, 10**18)
        c = compare(regular_trace(60), mixed)
        assert (c.unit, c.verdict.kind) == ("step", "slower")
        load = "The load is another: 0.0 % of the steps compute prompts in A, 10.0 % in B."
        assert (load in c.verdict.text) == differ

    def test_steps_that_are_asked_for_are_used_and_warned_of(self):
        c = compare(recording(1), recording(2, tokens=2 * BATCH), per="step")
        assert "their steps are not the same work" in " ".join(c.warnings)
        assert figures(c)["time per token"].percent == pytest.approx(-50, abs=1)

    def test_without_tokens_there_is_no_time_a_token(self):
        with pytest.raises(ConfigError, match="does not tell its tokens"):
            compare(SYNC, ASYNC, per="token")
        assert "time per token" not in figures(compare(SYNC, ASYNC))
        with pytest.raises(ConfigError, match="--per hour: give step, token, window"):
            compare(SYNC, ASYNC, per="hour")

    def test_without_steps_shares_of_the_window_are_compared(self):
        def stepless(seed, factors):
            trace = recording(seed, factors=factors)
            anonymous = trace.operations.replace(step=-1 + 0 * trace.operations.step)
            calls = trace.calls.take(
                trace.calls.correlation < 0
            )  # no launches and no waits: nothing to find steps by
            return idlescope.Trace(
                **{
                    **vars(trace),
                    "operations": anonymous,
                    "calls": calls,
                    "ranges": trace.ranges.take(slice(0, 0)),
                }
            )

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
        assert (
            compare(folder / "sync.recording", folder, mode="async").verdict.kind
            == "faster"
        )

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
        launch_ns = whole["devices"][0]["cause_ns"]["launch"]
        for wrong in ("NaN", "1e999", "-5", "1" * 400):
            path.write_text(
                json.dumps(whole, indent=1).replace(
                    f'"launch": {launch_ns}', f'"launch": {wrong}'
                )
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

    @pytest.mark.parametrize(
        ("one", "other", "said"),
        [
            ("vllm_8b_sync.json.gz", "vllm_8b_watched", "B by a watch by activity"),
            (
                "sglang_8b_sync.json.gz",
                "sglang_8b_sync_stacks.json.gz",
                "B by torch.profiler with stacks and shapes",
            ),
            ("vllm_8b_sync.json.gz", "vllm_8b_async.json.gz", ""),
        ],
    )
    def test_other_recorders_are_said(self, one, other, said):
        """Of one server: 9.2 ms under torch.profiler and 7.9 under a watch is no change of it."""
        c = compare(FIXTURES / one, FIXTURES / other)
        told = [text for text in c.warnings if "what recording costs the host" in text]
        assert len(told) == bool(said)
        if said:
            expected = f"A was recorded by torch.profiler, {said}"
            assert told[0].startswith(expected)
            assert expected in c.verdict.text or c.verdict.kind not in ("slower", "faster")

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
        assert (
            "Nothing can be concluded. A cannot be trusted: Only 50.0 %" in c.verdict.text
        )

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
