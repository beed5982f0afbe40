"""vLLM, by fakes of its classes: what its hooks take down, and that they never come in its way."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from idlescope.analysis.steps.step_kind import StepKind

DEVICE = SimpleNamespace(type="cpu", index=None)
CONFIG = SimpleNamespace(parallel_config=SimpleNamespace(rank=3))


@pytest.fixture
def vllm(fake):
    engine = fake["vllm"]
    engine.write("0.24.0")
    return engine


def runner(vllm, module="v1.worker.gpu.model_runner"):
    vllm.module("made")
    vllm.register()
    return vllm.module(module).GPUModelRunner(CONFIG, DEVICE)


def test_a_step_is_prepared_run_sampled_and_waited_for(vllm):
    model_runner = runner(vllm)
    scheduled = vllm.module("made").scheduled
    scheduler = vllm.module("v1.core.sched.scheduler").Scheduler()
    for _ in range(3):
        scheduler.schedule()
        model_runner.execute_model(scheduled({"a": 1, "b": 1}))
        assert model_runner.sample_tokens(None).get_output() == "tokens"
        scheduler.update_from_output(None, None)

    steps, calls, phases = vllm.took_down()
    decode = (StepKind.DECODE.code, 2, 2)
    assert steps == [decode, decode]  # the third is still open
    step_calls = ["launch.forward", "launch.sample", "event.synchronize (tokens)"]
    assert calls == step_calls * 3
    # the first schedule comes before there is a step
    assert phases == ["prepare", "update", "schedule"] * 2 + ["prepare", "update"]


@pytest.mark.parametrize("overlaps", [True, False, None])  # None: older versions
def test_its_recording_says_whether_batching_overlaps(vllm, overlaps):
    vllm.module("made")
    vllm.register()
    scheduling = SimpleNamespace(async_scheduling=overlaps)
    config = SimpleNamespace(scheduler_config=scheduling)
    vllm.module("v1.worker.gpu.model_runner").GPUModelRunner(config, DEVICE)
    assert vllm.loop.watch.trace().meta.extra["overlaps"] is bool(overlaps)


def test_without_a_whole_graph_the_model_runs_within_its_context(vllm):
    model_runner = runner(vllm)
    model_runner.full_graph = False
    module = vllm.module("v1.worker.gpu.model_runner")
    model_runner.execute_model(vllm.module("made").scheduled({"a": 300}))
    assert module.HAPPENED == ["prepared", "context entered", "model", "context left"]
    assert vllm.took_down()[1:] == (["launch.forward"], ["prepare"])


@pytest.mark.parametrize(
    ("asynchronous", "waits"), [(False, 1), (True, 0)], ids=["sync", "async"]
)
def test_the_older_runner_waits_within_sampling_or_later(vllm, asynchronous, waits):
    model_runner = runner(vllm, "v1.worker.gpu_model_runner")
    model_runner.use_async_scheduling = asynchronous
    model_runner.execute_model(vllm.module("made").scheduled({"a": 1}))
    model_runner.sample_tokens(None)
    _, calls, _ = vllm.took_down()
    waiting = ["event.synchronize (tokens)"] * waits
    assert calls == ["launch.forward", "launch.sample", *waiting]


def test_waits_of_other_threads_are_not_the_loops(vllm):
    model_runner = runner(vllm)
    model_runner.execute_model(vllm.module("made").scheduled({"a": 1}))
    output = model_runner.sample_tokens(None)
    thread = threading.Thread(target=output.get_output)
    thread.start()
    thread.join()
    assert vllm.took_down()[1] == ["launch.forward", "launch.sample"]


def test_when_the_last_request_is_gone_there_is_no_demand(vllm):
    model_runner = runner(vllm)
    scheduled = vllm.module("made").scheduled
    model_runner.execute_model(scheduled({"a": 1, "b": 1}))
    model_runner.execute_model(scheduled({}, finished=["a"]))
    model_runner.execute_model(scheduled({"b": 1}))
    model_runner.execute_model(scheduled({}, finished=["b"]))
    model_runner.execute_model(scheduled({"c": 5}, new=["c"]))
    steps, _, phases = vllm.took_down()
    assert [tokens for _, tokens, _ in steps] == [2, 1]
    assert phases == ["prepare", "prepare", "no demand", "prepare"]


def test_a_rank_without_requests_has_empty_steps_and_a_warm_up_none(vllm):
    model_runner = runner(vllm)
    model_runner._dummy_run(8)
    worker = vllm.module("v1.worker.gpu_worker").Worker(model_runner)
    worker.execute_dummy_batch()
    steps, calls, _ = vllm.took_down()
    assert steps == [(StepKind.EMPTY.code, 0, 0)]
    assert calls == ["launch.forward"]


@pytest.mark.parametrize(
    ("tokens", "new", "drafts", "kind"),
    [
        ({"a": 1, "b": 1}, (), {}, StepKind.DECODE),
        ({"a": 3, "b": 1}, (), {"a": [7, 8]}, StepKind.DECODE),
        ({"a": 300}, ("a",), {}, StepKind.PREFILL),
        ({"a": 300, "b": 1}, ("a",), {}, StepKind.MIXED),
        ({"a": 300, "b": 1}, (), {}, StepKind.MIXED),
    ],
)
def test_what_a_step_computes_is_what_was_scheduled(vllm, tokens, new, drafts, kind):
    from idlescope.watching.engines.vllm_hooks import step_kind

    assert step_kind(vllm.module("made").scheduled(tokens, new, drafts)) is kind


def test_a_process_without_a_model_runner_is_not_watched(vllm):
    vllm.module("made")
    vllm.register()
    scheduler = vllm.module("v1.core.sched.scheduler").Scheduler()
    assert scheduler.schedule() == "scheduled"
    assert vllm.loop.watch is None


@pytest.mark.parametrize("version", ["0.23.1", "0.34.0", "0.0.0.dev0", ""])
def test_a_version_that_was_not_read_is_watched_by_replays(fake, caplog, version):
    vllm = fake["vllm"]
    vllm.write(version)
    model_runner = runner(vllm)
    assert len(caplog.records) == 1
    assert "watched by its CUDA graph replays" in caplog.text
    model_runner.execute_model(vllm.module("made").scheduled({"a": 1}))
    assert vllm.loop.watch is None  # there was no replay


def test_a_method_that_is_missing_is_said(fake, caplog):
    vllm = fake["vllm"]
    other = "class GPUModelRunner:\n    def __init__(self, vllm_config, device): pass\n"
    vllm.write("0.25.0", model_runner=other)
    runner(vllm)
    assert "methods of the engine were not found" in caplog.text


def test_an_error_of_ours_turns_the_watch_off_and_the_engine_goes_on(vllm, caplog):
    caplog.set_level(logging.WARNING, "idlescope")
    model_runner = runner(vllm)
    output = SimpleNamespace(total_num_scheduled_tokens=3, finished_req_ids=())
    with pytest.raises(AttributeError):  # the engine's own error, for the same reason
        model_runner.execute_model(output)
    assert vllm.loop.off
    assert len(caplog.records) == 1
    model_runner.execute_model(vllm.module("made").scheduled({"a": 1}))
    assert model_runner.sample_tokens(None).get_output() == "tokens"
    assert len(caplog.records) == 1


def test_an_error_of_the_engine_leaves_nothing_open(vllm, monkeypatch):
    model_runner = runner(vllm)
    scheduled = vllm.module("made").scheduled

    def breaks(scheduler_output):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(model_runner, "prepare_inputs", breaks)
        with pytest.raises(RuntimeError, match="out of memory"):
            model_runner.execute_model(scheduled({"a": 1}))
    model_runner.execute_model(scheduled({"a": 1}))
    assert vllm.took_down()[1:] == (["launch.forward"], ["prepare", "prepare"])


def test_unless_asked_the_plugin_imports_nothing_and_wraps_nothing():
    program = (
        "import sys; from idlescope.watching.engines.vllm import register; register()\n"
        "from idlescope.watching.engines.sglang import register; register()\n"
        "heavy = {'numpy', 'torch', 'msgspec', 'idlescope.watching.watch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy or len(sys.meta_path) > 4 else 0)"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr


def test_cupti_is_turned_on_before_the_device_is_set(vllm, early_starts):
    vllm.module("made")
    vllm.register()
    assert early_starts.count == 0
    worker = vllm.module("v1.worker.gpu_worker").Worker(None)
    assert worker.init_device() == "ready"
    assert early_starts.count == 1


def test_only_a_watch_by_activity_turns_cupti_on(vllm, early_starts, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_WATCH", "events")
    vllm.module("made")
    vllm.register()
    vllm.module("v1.worker.gpu_worker").Worker(None).init_device()
    assert early_starts.count == 0
