"""Predictions against the truth: the engine run that way, traces recorded that way, and arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.analysis.prediction.rebatch import order, rebatch
from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.requests import Requests
from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.errors import ConfigError, TraceError
from idlescope.hardware.latencies import SUCCESSION_NS
from idlescope.trace.names.own_engine import DEPTHS
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, span, write
from tests.make.scenarios import scenario

SCENARIOS = 40  # tests/benchmarks/predict.py holds 400 to the same bound
MS = 1_000_000
PUBLISHED = {"host_ms": 8.81, "device_ms": 27.89, "device": "modelled", "mode": "sync"}


def analysed(name):
    return idlescope.analyze(idlescope.open(FIXTURES / name))


def replays(name):
    analysis = analysed(name)
    return Replays(analysis.trace, analysis.results[0])


@pytest.mark.slow
def test_random_scenarios_are_predicted_within_two_per_cent_each():
    wrong = {}
    for seed in range(SCENARIOS):
        drawn = scenario(seed)
        sync, later = drawn.run("sync"), drawn.run("async")
        made = Replays(sync.trace, sync.result)
        assert made.predict(WhatIf(depth=1)).total_ns == pytest.approx(sync.total_ns, rel=1e-9), (
            seed
        )
        error = made.predict(WhatIf()).total_ns / later.total_ns - 1.0
        if abs(error) > 0.02:
            wrong[seed] = error
    assert wrong == {}


@given(
    host_ms=st.floats(0.2, 20),
    device_ms=st.one_of(st.none(), st.floats(0.2, 20)),
    model=st.sampled_from(["1b", "8b"]),
    batch_size=st.sampled_from([1, 8, 32]),
    prompt_tokens=st.integers(1, 2000),
)
@settings(max_examples=15, deadline=None)
def test_one_wave_of_requests_is_predicted(**options):
    result = run(RunConfig(tokens=40, device="modelled", max_batch_tokens=512, **options))
    predicted = result.predicted()
    assert predicted.total_ns == pytest.approx(result.modes["async"].total_ns, rel=0.005)
    assert predicted.low_ns <= predicted.total_ns <= predicted.high_ns


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_deeper_pipelines_are_predicted_as_the_engine_runs_them(monkeypatch, seed):
    drawn = scenario(seed)
    sync = drawn.run("sync")
    for depth in (3, 4):
        monkeypatch.setitem(DEPTHS, "async", depth)
        deep = drawn.run("async")
        predicted = Replays(sync.trace, sync.result).predict(WhatIf(depth=depth))
        assert predicted.total_ns == pytest.approx(deep.total_ns, rel=0.02)
        assert predicted.steps == pytest.approx(len(deep.result.steps), abs=depth)


def test_a_whole_batch_that_ends_at_once_is_replaced_only_when_its_tokens_are_known():
    config = RunConfig(
        model="1b", tokens=20, batch_size=8, requests=80, host_ms=3, device_ms=3, device="modelled"
    )
    result = run(config)
    sync, later = result.modes["sync"], result.modes["async"]
    made = Replays(sync.trace, sync.result)
    assert made.predict(WhatIf()).total_ns == pytest.approx(later.total_ns, rel=1e-3)
    plain = replay(made.costs, 2).total_ns  # as if the next batch could be formed before
    assert plain < 0.96 * later.total_ns


def test_mixed_lengths_give_as_many_steps_as_the_engine_needs():
    config = RunConfig(model="1b", tokens="uniform:5,60", batch_size=8, requests=64, host_ms=2, device_ms=3,
                       device="modelled")  # fmt: skip
    result = run(config)
    predicted = result.predicted()
    assert (
        len(result.modes["sync"].result.steps)
        < len(result.modes["async"].result.steps)
        == predicted.steps
    )
    assert predicted.total_ns == pytest.approx(result.modes["async"].total_ns, rel=1e-3)
    assert predicted.tokens == result.modes["async"].tokens


def test_preempted_requests_are_replayed_in_the_steps_that_were_recorded():
    result = run(RunConfig(model="8b", tokens=100, batch_size=32, requests=64, prompt_tokens="uniform:1,700", host_ms=2,
                           kv_blocks=600, device="modelled"))  # fmt: skip
    sync = result.modes["sync"]
    assert sum(r.preemptions for r in sync.finished) > 0
    assert Replays(sync.trace, sync.result).requests is None
    assert result.predicted().total_ns == pytest.approx(result.modes["async"].total_ns, rel=0.03)


def test_the_published_run_is_predicted():
    sync = run(RunConfig(tokens=8192, **PUBLISHED)).modes["sync"]
    assert sync.total_ns / 1e9 == pytest.approx(
        300.6, rel=0.005
    )  # at 76.0 % active; asynchronous 234.5 s, bound 228 s
    (one,) = idlescope.predict(sync.analysis)
    assert 228.0 <= one.predicted.total_ns / 1e9 <= 235.0
    assert one.predicted.compute_idle_pct < 0.6
    assert one.recorded.compute_idle_pct == pytest.approx(24.0, abs=0.2)
    assert 228.0 <= one.bound.total_ns / 1e9 <= one.predicted.total_ns / 1e9


@pytest.mark.parametrize("kind", ["sync", "eager", "copies"])
def test_the_replay_of_a_synchronous_trace_as_it_is_is_the_trace(kind):
    made = replays(f"loop_{kind}.json.gz")
    again = made.predict(WhatIf(depth=1))
    assert again.step_ns == pytest.approx(made.recorded.step_ns, rel=0.001)
    assert again.compute_idle_pct == pytest.approx(made.recorded.compute_idle_pct, abs=0.1)


def test_the_replay_of_an_asynchronous_trace_as_it_is_is_the_trace():
    made = replays("loop_async.json.gz")
    assert made.depth == 2
    assert made.predict(WhatIf()).step_ns == pytest.approx(made.recorded.step_ns, rel=0.002)


def test_the_asynchronous_step_of_transformers_is_predicted_from_its_synchronous_one():
    sync, later = replays("transformers_sync.json.gz"), replays("transformers_async.json.gz")
    assert sync.predict(WhatIf(depth=1)).step_ns == pytest.approx(sync.recorded.step_ns, rel=0.001)
    assert sync.predict(WhatIf()).step_ns == pytest.approx(later.recorded.step_ns, rel=0.005)


def test_the_whole_traces_of_transformers_agree_too(shared_traces):
    step = {}
    for kind in ("sync", "async"):
        analysis = idlescope.analyze(
            idlescope.open(shared_traces / f"transformers_{kind}_h200.json.gz")
        )
        (step[kind],) = idlescope.predict(analysis)
    assert step["sync"].predicted.step_ns == pytest.approx(
        step["async"].recorded.step_ns, rel=0.005
    )
    assert step["sync"].predicted.compute_idle_pct == pytest.approx(
        step["async"].recorded.compute_idle_pct, abs=0.5
    )


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"host": 0.5}, {"host_ms": 4.5, "device_ms": 3.0}),
        ({"host": 2.0}, {"host_ms": 18.0, "device_ms": 3.0}),
        ({"device": 0.7}, {"host_ms": 9.0, "device_ms": 2.1}),
        ({"device": 0.5, "host": 0.1, "depth": 1}, {"host_ms": 0.9, "device_ms": 1.5}),
        ({"device": 7.0}, {"host_ms": 9.0, "device_ms": 21.0}),
    ],
)
def test_other_hosts_and_devices_are_predicted_as_the_engine_runs_on_them(change, options):
    base = {"model": "1b", "tokens": 100, "batch_size": 8, "requests": 24, "device": "modelled"}
    sync = run(RunConfig(**base, host_ms=9.0, device_ms=3.0, mode="sync")).modes["sync"]
    mode = "sync" if change.get("depth") == 1 else "async"
    truth = run(RunConfig(**base, **options, mode=mode)).modes[mode]
    predicted = idlescope.predict(sync.analysis, **change)[0].predicted
    assert predicted.total_ns == pytest.approx(truth.total_ns, rel=0.01)
    assert predicted.tokens_per_s == pytest.approx(truth.tokens / truth.total_ns * 1e9, rel=0.01)


def test_a_phase_that_is_gone_takes_its_time_with_it():
    config = RunConfig(
        model="1b",
        tokens=50,
        batch_size=8,
        host_ms=10,
        device_ms=0.2,
        device="modelled",
        mode="sync",
    )
    analysis = run(config).modes["sync"].analysis
    (as_is,) = idlescope.predict(analysis)
    (without,) = idlescope.predict(analysis, without="prepare")
    calls_ns = 39_300  # of 10 ms a step the API calls take these; of the rest 95 % is `prepare`
    assert as_is.predicted.step_ns - without.predicted.step_ns == pytest.approx(
        0.95 * (10 * MS - calls_ns), rel=0.001
    )
    assert "no prepare" in {lever.name for lever in as_is.levers}


def test_an_eager_loop_is_shown_what_graphs_are_worth_and_one_with_graphs_is_not():
    (eager,) = idlescope.predict(analysed("loop_eager.json.gz"))
    assert eager.predicted.step_ns == pytest.approx(
        eager.recorded.step_ns, rel=0.01
    )  # the host is the limit
    graphs = {lever.name: lever.predicted for lever in eager.levers}["CUDA graphs"]
    kernels = float(replays("loop_eager.json.gz").costs.kernels.mean())
    assert kernels < graphs.step_ns < 0.35 * eager.recorded.step_ns
    assert "Further savings: CUDA graphs" in eager.text()
    (graph,) = idlescope.predict(analysed("loop_sync.json.gz"))
    assert "CUDA graphs" not in {lever.name for lever in graph.levers}


def test_copies_overlap_compute_but_not_each_other():
    made = replays("loop_copies.json.gz")
    assert made.costs.copies[1:].mean() > made.costs.compute[1:].mean()
    assert made.predict(WhatIf(depth=8)).step_ns == pytest.approx(
        made.costs.copies[1:].mean(), rel=0.01
    )


@pytest.mark.parametrize("kind", ["item", "pageable"])
def test_a_serialised_loop_is_predicted_without_the_wait(kind):
    made = replays(f"loop_{kind}.json.gz")
    assert made.depth is None
    assert made.predict(WhatIf()).step_ns == pytest.approx(
        float(made.costs.compute.mean()), rel=0.03
    )
    assert made.predict(WhatIf()).step_ns < made.recorded.step_ns


def loop(path, steps=8, copy_ms=1.0, host_ms=1.0, kernel_ms=4.0):
    """A synchronous loop with a copy of memory that is not pinned before each graph; times in milliseconds."""
    events, now, n = [], 0, 0
    for i in range(steps):
        begin, n = now, n + 3
        now += round(host_ms * MS)
        copied = now + round(copy_ms * MS)
        copy = operation(
            now + 10_000, copied - 5_000, "memcpy", n, name="Memcpy HtoD (Pageable -> Device)"
        )
        events += [call(now, copied, n, "cudaMemcpyAsync"), copy]
        now = copied + 20_000
        end = now + 20_000 + round(kernel_ms * MS)
        events += [call(now - 20_000, now, n + 1, "cudaGraphLaunch"), operation(now + 20_000, end, correlation=n + 1),
                   call(now, end + 10_000, 0, "cudaStreamSynchronize")]  # fmt: skip
        now = end + 10_000
        events.append(span(begin, now, f"ProfilerStep#{i}"))
    return idlescope.analyze(idlescope.open(write(path, events)))


def test_pinned_copies_no_longer_cost_the_host(tmp_path):
    # 5 ms of host work and 3 ms of copying against 4 ms of kernels: the host is the limit, copies or not
    (one,) = idlescope.predict(loop(tmp_path / "a.json", copy_ms=3, host_ms=5))
    assert one.recorded.step_ns == pytest.approx(12.05 * MS, rel=0.001)
    assert one.predicted.step_ns == pytest.approx(8.02 * MS, rel=0.002)
    pinned = {lever.name: lever.predicted for lever in one.levers}["pinned copies"]
    assert pinned.step_ns == pytest.approx(5.03 * MS, rel=0.002)


def test_a_host_that_is_the_limit_is_said_to_be():
    later = run(
        RunConfig(model="1b", tokens=50, batch_size=8, host_ms=5, device_ms=3, device="modelled")
    ).modes["async"]
    (one,) = idlescope.predict(later.analysis)
    assert (one.depth, len(one.host_bound)) == (2, 50)
    assert one.exposed_ns == pytest.approx(2.0 * MS, rel=0.05)
    assert one.text().startswith("Asynchronous already: 1.9")
    assert "in 50 of 50 steps the host works longer than the device computes" in one.text()
    assert asynchronous(later.result) is None


def test_steps_with_more_host_work_than_compute_are_named():
    drawn = scenario(7)
    later = drawn.run("async")
    (one,) = idlescope.predict(later.analysis)
    costs = Replays(later.trace, later.result).costs
    slow = np.flatnonzero(costs.host > costs.compute)
    assert one.host_bound == tuple(slow.tolist())
    assert 0 < slow.size < len(costs)
    assert (
        f"in {slow.size} of {len(costs)} steps the host works longer than the device computes (step"
        in one.text()
    )


def test_a_run_predicts_in_its_analysis_what_it_predicts_in_its_summary():
    result = run(
        RunConfig(model="1b", tokens=50, batch_size=8, host_ms=5, device_ms=3, device="modelled")
    )
    short = result.modes["sync"].analysis.to_json()["devices"][0]["predicted"]
    summary = result.summary()["predicted"]
    assert {key: short[key] for key in summary} == summary
    assert (short["recorded_depth"], short["depth"], short["host_bound_steps"]) == (1, 2, 50)
    assert (
        result.modes["async"].analysis.to_json()["devices"][0]["predicted"]["recorded_depth"] == 2
    )


@pytest.mark.parametrize(
    ("window", "reason"), [("steps:8-9", "only 2 steps are"), ("steps:8-8", "only 1 step is")]
)
def test_too_few_steps_are_refused_in_a_sentence(window, reason):
    analysis = idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz"), window=window)
    with pytest.raises(
        TraceError, match=f"cannot tell what device 0 would do: {reason} in the trace"
    ):
        idlescope.predict(analysis)
    assert analysis.results[0].prediction is None
    assert asynchronous(analysis.results[0]) is None


def test_a_trace_without_steps_or_launches_is_refused(tmp_path):
    events = [operation(i * MS, i * MS + 500_000, correlation=i + 1) for i in range(20)]
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "a.json", events)))
    with pytest.raises(TraceError, match=r"cannot tell what device 0 would do: .*known launch"):
        idlescope.predict(analysis)
    launched = events + [call(i * MS - 300_000, i * MS - 200_000, i + 1) for i in range(20)]
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "b.json", launched)))
    with pytest.raises(TraceError, match="cannot tell what device 0 would do: no steps are known"):
        idlescope.predict(analysis)


def test_a_trace_that_waits_for_what_it_does_not_show_is_refused(shared_traces):
    analysis = idlescope.analyze(idlescope.open(shared_traces / "dlrm_graphlaunch_v100.json.gz"))
    with pytest.raises(TraceError, match="they wait for something that the trace does not show"):
        idlescope.predict(analysis)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"depth": 0}, "--depth is 0"), ({"depth": 65}, "--depth is 65"), ({"host": -1.0}, "--host is -1.0"),
        ({"device": float("nan")}, "--device is nan"), ({"device": 2e3}, "--device is 2000.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        WhatIf(**options)


def test_a_phase_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        ConfigError, match="'detokenise': it has d2h, forward, h2d, postprocess, prepare"
    ):
        idlescope.predict(analysed("transformers_sync.json.gz"), without="detokenise")


def test_the_interval_is_that_of_the_steps_variation():
    config = RunConfig(model="1b", tokens=300, batch_size=8, prompt_tokens=1000, device="modelled")
    drawn = scenario(3)
    sync = replace(drawn, config=config, factor=drawn.factor / np.median(drawn.factor)).run("sync")
    (one,) = idlescope.predict(sync.analysis, host=0.0)
    # with a free host the steps are the device's own: the margin is that of a sum of so many; the prompt is no chance
    compute = Replays(sync.trace, sync.result).costs.compute
    assert compute[0] > 5 * np.median(compute)
    expected = 1.96 * np.std(np.diff(compute[1:])) / np.sqrt(2) * np.sqrt(300)
    assert one.predicted.high_ns - one.predicted.total_ns == pytest.approx(expected, rel=0.02)


def equal(n, **columns):
    """So many equal steps, what is not given being zero."""
    made = {name: np.zeros(n, np.int64) for name in StepCosts.__dataclass_fields__}
    return StepCosts(
        **{**made, **{name: np.full(n, value, np.int64) for name, value in columns.items()}}
    )


def test_a_pipeline_by_hand():
    steps = equal(
        4, lead=10_000, after=5_000, latency=1_000, compute=40_000, kernels=40_000, tail=2_000
    )
    # one by one: 10 + 1 + 40 + 2 + 5
    assert replay(steps, 1).finished.tolist() == [58_000, 116_000, 174_000, 232_000]
    # in flight: the device is the limit, 40 us a step and what lies between two
    two = replay(steps, 2)
    each = 40_000 + SUCCESSION_NS
    assert two.end.tolist() == [51_000 + i * each for i in range(4)]
    assert two.finished.tolist() == [end + 7_000 for end in two.end.tolist()]
    # every other step needs the tokens of the one before it: it starts as the first one did
    needs = np.array([-1, 0, 0, 2])
    assert replay(steps, 2, needs).end.tolist() == [
        51_000,
        109_000,
        109_000 + each,
        109_000 + each + 58_000,
    ]


def test_a_piece_of_a_run_counts_the_tokens_of_its_steps_alone():
    config = RunConfig(
        model="1b", tokens=50, batch_size=8, host_ms=5, device_ms=3, device="modelled", mode="sync"
    )
    trace = run(config).modes["sync"].trace
    (one,) = idlescope.predict(idlescope.analyze(trace, window="steps:10-19"))
    assert (one.recorded.steps, one.recorded.tokens) == (10, 80)
    assert one.recorded.step_ns == pytest.approx(8 * MS, rel=0.01)
    assert one.predicted.total_ns == pytest.approx(10 * 5 * MS + 3 * MS, rel=0.01)


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


def test_a_row_is_given_on_once_its_last_token_is_known():
    # two rows: the first is used by requests of 3 and 4 steps, the second by one of 7 all the time
    of = Requests(*(np.array(c) for c in ([0, 0, 3], [0, 0, 3], [2, 6, 6])), np.zeros(3, bool), 2)
    assert order(of, 1).starts.tolist() == [0, 0, 3]
    assert (order(of, 2).starts.tolist(), order(of, 2).steps) == ([0, 0, 4], 8)
    assert (order(of, 3).starts.tolist(), order(of, 3).steps) == ([0, 0, 5], 9)
    assert (order(of, 2).needs == -1).all()
    # one row, two requests: the pipeline drains between them, unless the first was not known to end
    one = Requests(*(np.array(c) for c in ([0, 3], [0, 3], [2, 5])), np.zeros(2, bool), 1)
    assert (order(one, 2).starts.tolist(), order(one, 2).steps) == ([0, 3], 6)
    assert order(one, 2).needs.tolist() == [-1, -1, -1, 2, -1, -1]
    stopped = Requests(one.admitted, one.first_token, one.last_token, np.ones(2, bool), 1)
    assert (order(stopped, 2).starts.tolist(), order(stopped, 2).steps) == ([0, 4], 8)
    assert (order(stopped, 2).needs == -1).all()


def test_what_a_prompt_costs_goes_where_its_request_goes():
    # a prompt of 50 us in the steps 0 (two of them) and 3, as in the first case above
    of = Requests(*(np.array(c) for c in ([0, 0, 3], [0, 0, 3], [2, 6, 6])), np.zeros(3, bool), 2)
    steps = equal(7, compute=10_000)
    steps.compute[[0, 3]] += [100_000, 50_000]
    anew, needs, prompts = rebatch(steps, of, 2)
    assert np.flatnonzero(prompts).tolist() == [0, 4]
    assert anew.compute.tolist() == [
        110_000,
        10_000,
        10_000,
        10_000,
        60_000,
        10_000,
        10_000,
        10_000,
    ]
    assert (needs == -1).all()
    assert rebatch(steps, of, 1).costs is steps
