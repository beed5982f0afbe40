"""What a run says: of its own engine, of a published one's host, and of what to measure next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from idlescope import RunConfig, run
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.prediction import published
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.statements import Compared, this_engine

MODELLED = {"device": "modelled:h200", "tokens": 60}


def said(**options):
    return run(RunConfig(**{**MODELLED, **options})).statements


def with_host(mode_run: ModeRun, factor: float) -> ModeRun:
    """The same figures, but for how long the host is said to work."""
    steps = structs.replace(
        mode_run.result.steps, host=(mode_run.result.steps.host * factor).astype(int)
    )
    result = replace(mode_run.result, steps=steps)
    return replace(mode_run, analysis=replace(mode_run.analysis, results=(result,)))


@pytest.fixture(scope="module")
def first_command():
    """The README's first command with its contexts, but shorter."""
    return run(RunConfig(**{**MODELLED, "tokens": 400}, model="8b", prompt_tokens=4_200))


def test_three_things_are_said_in_turn_and_are_the_verdict(first_command):
    document = first_command.document
    sentences = document.statements.said()
    assert len(sentences) == 3
    assert document.verdict == " ".join(sentences) == first_command.verdict()
    assert sentences[0].startswith("Asynchronous batching is ")
    causes = first_command.document.modes["sync"].cause_ns
    assert max(causes, key=causes.get) == "host"
    assert "ran dry before the host had issued the next work (" in sentences[0]
    assert sentences[1].startswith(
        "With the host of transformers, as published (its GPU waits"
    )
    assert sentences[2].endswith("idlescope analyze TRACE")


def test_with_the_published_host_and_device_the_published_idle_comes_out(first_command):
    host = first_command.document.published_host
    assert host.gap_ms_here == host.gap_ms == 8.81
    assert host.with_its_device_idle_pct["sync"] == pytest.approx(24.0, abs=0.05)
    assert host.with_its_device_idle_pct["async"] < host.measured_idle_pct["async"]
    # 300.6 s at 76.0 % active, 8,192 steps
    assert host.gap_ms == pytest.approx(0.24 * 300.6 / 8.192, abs=0.005)
    for figures in (host.idle_pct, host.with_its_device_idle_pct, host.measured_idle_pct):
        change = f"{figures['sync']:.1f} % → {figures['async']:.1f} %"
        assert change in first_command.statements.published_host
    assert host.source == published.POST


def test_what_the_published_host_does_beside_the_device_is_work_too(first_command):
    host = first_command.document.published_host
    engine = first_command.modes["sync"]
    calls_after_launch = 0.0656 / 0.515  # of the h200-server's host work
    assert host.gap_ms < host.host_work_ms < host.gap_ms / (1.0 - 1.2 * calls_after_launch)
    assert (
        host.idle_pct["sync"] > 100 * host.gap_ms / (host.gap_ms + engine_ms(engine)) - 0.5
    )


def engine_ms(mode_run: ModeRun) -> float:
    return float(mode_run.result.steps.device.mean()) / 1e6


def test_a_host_that_the_user_fixed_is_not_replaced_by_another():
    assert said(model="8b", host_ms=1.0).published_host is None


def test_of_another_model_only_the_host_is_taken_over():
    sentence = said(model="1b", tokens=400).published_host
    assert "device time" not in sentence
    assert "the same steps are idle" in sentence


@pytest.mark.parametrize("batch_size", [16, 32, 64])
def test_the_published_hosts_work_grows_with_the_tokens_in_the_kv_cache(batch_size):
    options = {"tokens": 200, "prompt_tokens": 1_500, "batch_size": batch_size}
    host = run(RunConfig(**{**MODELLED, **options}, model="1b")).document.published_host
    cached_tokens = batch_size * 1_600
    of_published = 0.026 + 0.974 * cached_tokens / (32 * 4_352)
    assert host.gap_ms_here == pytest.approx(
        8.81 * of_published, rel=0.08
    )  # steps of prompts hold fewer
    assert host.with_its_device_idle_pct is None


def test_beyond_what_was_measured_the_published_host_tells_nothing_and_says_so():
    sentence = said(model="8b", batch_size=8).published_host
    assert sentence.startswith("What the host of transformers, as published, would make")
    assert "measured with 12,288 to 266,240" in sentence


# Gap per step of transformers 5.17, by context, at 32 rows on an H200 (reports/accuracy.md).
@pytest.mark.parametrize(
    ("context", "gap_ms"), [(384, 1.6), (2_304, 7.3), (4_352, 12.1), (8_320, 27.2)]
)
def test_how_the_published_gap_grows_is_as_measured(context, gap_ms):
    times_published = 13.76 / published.HEADLINE[0].host_ms
    assert published.gap_ms(32 * context) * times_published == pytest.approx(
        gap_ms, rel=0.15
    )


@pytest.fixture(scope="module")
def at_a_load():
    return run(
        RunConfig(
            device="modelled:h200",
            model="1b",
            tokens=30,
            batch_size=8,
            requests=40,
            arrival="poisson:5",
        )
    )


def test_requests_that_arrive_are_judged_by_how_long_they_take(at_a_load):
    sentence = at_a_load.statements.this_engine
    sync, later = (mode.latencies() for mode in at_a_load.modes.values())
    for name in ("time_per_output_token_ms", "latency_ms"):
        assert f" {sync[name].p50:,.1f} → {later[name].p50:,.1f} ms" in sentence
        assert f"p99 {sync[name].p99:,.1f} → {later[name].p99:,.1f} ms" in sentence
    assert "times faster" not in sentence
    assert at_a_load.statements.published_host is None


def test_time_without_requests_is_told_apart_from_idle_time(at_a_load):
    mode = at_a_load.modes["async"]
    occupancy, missing_ns = mode.result.occupancy, mode.result.host_ns[NO_DEMAND]
    assert missing_ns > 0.5 * occupancy.idle_ns
    with_work = (occupancy.idle_ns - missing_ns) / (occupancy.window_ns - missing_ns)
    assert mode.idle_with_work_pct == pytest.approx(100 * with_work)
    assert (
        f"→ {100 * with_work:.2f} % (no request was there"
        in at_a_load.statements.this_engine
    )
    assert f"for {100 * missing_ns / occupancy.window_ns:.1f} %" in at_a_load.verdict()


@pytest.mark.parametrize(("factor", "blamed"), [(1.0, True), (0.01, False)])
def test_the_host_is_blamed_only_where_it_works_longer_than_the_device(factor, blamed):
    made = run(RunConfig(model="tiny", **MODELLED, host_ms=9.0, device_ms=3.0))
    modes = {name: with_host(mode, factor) for name, mode in made.modes.items()}
    sentence = this_engine(Compared(modes, "a GPU", "GPU", None, interrupted=False))
    assert ("the host still needs longer" in sentence) is blamed


def test_one_mode_at_a_load_is_judged_by_its_latencies_too():
    options = {"model": "1b", "tokens": 30, "batch_size": 8, "requests": 20}
    made = run(
        RunConfig(device="modelled:h200", mode="async", arrival="poisson:5", **options)
    )
    latency = made.modes["async"].latencies()["latency_ms"]
    sentence = made.statements.this_engine
    assert f"latency {latency.p50:,.1f} ms (p99 {latency.p99:,.1f} ms)" in sentence
    assert "took" not in sentence


def test_one_mode_alone_says_why_it_idles():
    sentence = said(model="8b", mode="sync").this_engine
    assert sentence.startswith("Synchronous batching took ")
    assert "because it ran dry before the host had issued the next work (" in sentence
