"""SGLang, by fakes of its classes: steps of both loops, no demand, and what is launched and waited for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from idlescope.analysis.steps.step_kind import StepKind

WAIT = "event.synchronize (event)"


class Mode:
    """A forward mode, as SGLang's enumeration is asked."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, question):
        asked = question.removeprefix("is_")
        return lambda: asked == self._name or (asked, self._name) == ("extend", "mixed")


def batch(mode, requests=2, extend_tokens=None):
    return SimpleNamespace(
        forward_mode=Mode(mode),
        reqs=[object()] * requests,
        extend_num_tokens=extend_tokens,
    )


@pytest.fixture
def sglang(fake):
    engine = fake["sglang"]
    engine.write("0.5.13")
    engine.module("srt")  # the package is imported before its plugins are
    engine.register()
    return engine


def test_a_synchronous_loop(sglang):
    batches = [batch("extend", 1, 700), batch("decode"), batch("decode")]
    sglang.module("srt.managers.scheduler").Scheduler(batches).event_loop()
    steps, calls, phases = sglang.took_down()
    # the last one is still open
    assert steps == [(StepKind.PREFILL.code, 700, 1), (StepKind.DECODE.code, 2, 2)]
    assert calls == ["launch.forward", "launch.sample", WAIT] * 3
    between = ["receive requests", "receive requests", "schedule"]
    assert phases == (["prepare", "update", *between] * 3)[: -len(between)]


def test_the_tokens_of_a_prefill_are_waited_for(sglang, monkeypatch):
    """What follows them is work: an unseen wait of 50 ms was host work for that step on an H200."""
    module = sglang.module("srt.managers.scheduler_components.batch_result_processor")
    monkeypatch.setattr(module.SchedulerBatchResultProcessor, "tolist_ns", 20_000_000)
    batches = [batch("extend", 1, 700), batch("decode")]
    sglang.module("srt.managers.scheduler").Scheduler(batches).event_loop()
    assert sglang.took_down()[1][:3] == ["launch.forward", "launch.sample", WAIT]
    calls = sglang.loop.watch._ring.tables().calls
    waited_ns = (calls["end"] - calls["start"])[2]
    assert 19_000_000 < waited_ns < 39_000_000


def test_an_overlapped_loop_processes_the_batch_before(sglang):
    scheduler = sglang.module("srt.managers.scheduler").Scheduler
    scheduler([batch("decode"), batch("decode"), None], overlap=True).event_loop()
    _, calls, _ = sglang.took_down()
    launch = ["launch.forward", "launch.sample"]
    assert calls == [*launch, *launch, WAIT, WAIT]


def test_without_requests_the_loop_goes_round_and_nothing_is_taken_down(sglang):
    batches = [batch("decode"), *[None] * 1000, batch("decode"), batch("decode")]
    sglang.module("srt.managers.scheduler").Scheduler(batches).event_loop()
    steps, _, phases = sglang.took_down()
    assert len(steps) == 2
    assert phases.count("no demand") == 1
    assert len(phases) < 20


def test_that_it_sleeps_without_requests_is_no_part_of_a_step(sglang, monkeypatch):
    """With --sleep-on-idle `on_idle` waits for a request, for up to a second each time."""
    scheduler = sglang.module("srt.managers.scheduler").Scheduler
    monkeypatch.setattr(scheduler, "sleep_ns", 50_000_000)
    scheduler([batch("decode"), batch("decode"), None, batch("decode")]).event_loop()
    sglang.took_down()
    kept = sglang.loop.watch._ring.tables()
    assert (kept.steps["end"] - kept.steps["start"]).max() < 50_000_000


def test_its_recording_says_that_a_batch_is_scheduled_before_its_step_begins(sglang):
    batches = [batch("decode"), batch("decode"), batch("decode")]
    sglang.module("srt.managers.scheduler").Scheduler(batches).event_loop()
    watch = sglang.loop.watch
    watch.settle()
    assert watch.trace().meta.extra["steps_begin_late"] is True


@pytest.mark.parametrize("overlaps", [True, False])
def test_its_recording_says_whether_batching_overlaps(sglang, overlaps):
    runner = sglang.module("srt.model_executor.model_runner").ModelRunner
    runner.server_args = SimpleNamespace(disable_overlap_schedule=not overlaps)
    scheduler = sglang.module("srt.managers.scheduler").Scheduler
    scheduler([batch("decode"), batch("decode")]).event_loop()
    assert sglang.loop.watch.trace().meta.extra["overlaps"] is overlaps


def test_what_a_batch_computes(sglang):
    from idlescope.watching.engines.sglang_hooks import step_work

    assert step_work(batch("idle", 0)) == (0, 0, StepKind.EMPTY)
    assert step_work(batch("mixed", 3, 120)) == (120, 3, StepKind.MIXED)
    assert step_work(batch("target_verify", 4)) == (4, 4, StepKind.DECODE)


def test_the_rank_counts_stages_of_a_pipeline(sglang):
    from idlescope.watching.engines.sglang_hooks import rank_of

    runner = sglang.module("srt.model_executor.model_runner").ModelRunner()
    assert rank_of(runner) == 3


def test_sampling_that_waits_for_a_grammar_is_launched_later(sglang):
    scheduler = sglang.module("srt.managers.scheduler").Scheduler([batch("decode")])
    scheduler.event_loop()
    sglang.took_down()
    scheduler.launch_batch_sample_if_needed(SimpleNamespace(delay_sample_func=print))
    scheduler.launch_batch_sample_if_needed(SimpleNamespace(delay_sample_func=None))
    scheduler.launch_batch_sample_if_needed(None)
    assert sglang.took_down()[1] == ["launch.sample"]


def test_an_embedding_model_without_sampling_is_watched_too(sglang, monkeypatch):
    module = sglang.module("srt.managers.scheduler")
    scheduler = module.Scheduler([batch("extend", 1, 9)])
    monkeypatch.setattr(scheduler.model_runner, "sample", lambda *arguments: None)
    scheduler.event_loop()
    assert sglang.took_down()[1][:1] == ["launch.forward"]


def test_cupti_is_turned_on_before_the_scheduler_sets_its_device(sglang, early_starts):
    scheduler = sglang.module("srt.managers.scheduler").Scheduler([])
    assert (early_starts.count, scheduler.batches) == (1, [])
