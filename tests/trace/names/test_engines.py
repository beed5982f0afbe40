"""Span names of known engines become phases and steps."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.trace.names import engines
from idlescope.trace.names.own_engine import ENGINE_PHASES
from idlescope.trace.names.span_names import recognise
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, operation, span, write

# The spans of one step as each engine writes them, the phase that each is, and what the steps are
# found by.
ENGINES = {
    "vllm": [("execute_32_context_0(sq0)_generation_32(sq32)", "step"), ("gpu_model_runner: preprocess", "prepare"),
             ("gpu_model_runner: forward", "forward"), ("gpu_model_runner: sample", "sample"),
             ("gpu_model_runner: bookkeep", "postprocess")],
    "sglang": [("scheduler.recv_requests", "ingest"), ("scheduler.get_next_batch_to_run", "schedule"),
               ("scheduler.run_batch", "forward"), ("step[DECODE bs=32]", "forward"),
               ("copy_result_to_cpu", "d2h"), ("scheduler.process_batch_result", "postprocess")],
    "trtllm": [("_fetch_new_requests", "ingest"), ("_schedule", "schedule"), ("_prepare_tp_inputs", "prepare"),
               ("[Executor] _forward_step 7: 0 ctx reqs, 32 gen reqs", "forward"), ("_sample_async", "sample"),
               ("_update_requests", "sync_wait"), ("_handle_responses", "postprocess"),
               ("_enqueue_responses", "detokenize")],
    "lmdeploy": [("schedule_running", "schedule"), ("create_model_inputs", "prepare"), ("inputs_H2D", "h2d"),
                 ("get_logits", "forward"), ("sampling_logits", "sample"), ("outputs_D2H", "d2h"),
                 ("make_infer_outputs", "postprocess")],
    "minisgl": [("Layer_0", "forward"), ("MHA", "forward"), ("LMHead", "forward"), ("Sampler", "sample")],
    "transformers": [("cb:prepare_next_batch", "schedule"), ("cb:prepare_batch_tensors", "prepare"),
                     ("cb:get_model_kwargs", "h2d"), ("cb:compute_batch", "forward"),
                     ("cb:retrieve_device_outputs", "d2h"), ("cb:update_batch", "postprocess")],
    "dynamo": [("dynamo:forward_pass", "forward")],
    "idlescope": [(f"idlescope:{p}", p) for p in ENGINE_PHASES],
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_every_span_is_the_phase_it_should_be(engine):
    names = [*(name for name, _ in ENGINES[engine]), "aten::add", "something else"]
    found = recognise(names, range(len(names)))
    assert found.engine == engine
    got = [found.labels[p] if p >= 0 else None for p in found.phase]
    assert got == [phase for _, phase in ENGINES[engine]] + [None, None]


@pytest.mark.parametrize("engine", ENGINES)
def test_its_steps_are_found_by_its_spans(engine, tmp_path):
    events = []
    for i in range(4):
        at = i * 100_000
        for k, (name, _) in enumerate(ENGINES[engine]):
            # a span around the whole step, or one after the other
            whole = name.startswith("execute_")
            events.append(
                span(at, at + 90_000, name)
                if whole
                else span(at + k * 9000, at + k * 9000 + 8000, name)
            )
        events += [
            call(at + 80_000, at + 81_000, i + 1),
            operation(at + 82_000, at + 99_000, correlation=i + 1),
        ]
    analysis = idlescope.analyze(open_trace(write(tmp_path / "t.json", events)))
    (device,) = analysis.results
    assert analysis.engine == engine
    # mini-sglang names no loop, only layers
    assert device.steps.found == ("none" if engine == "minisgl" else f"{engine} spans")
    assert len(device.steps) == (0 if engine == "minisgl" else 4)
    assert device.steps.operations.sum() == len(device.steps)


def test_every_rule_gives_a_phase_that_is_known():
    for engine in engines.ENGINES:
        assert {phase for _, phase in engine.rules} <= set(engines.PHASES)


def test_spans_of_no_engine_are_no_phases(tmp_path):
    found = recognise(["aten::add", "my step"], [0, 1])
    assert (found.engine, found.phase.tolist()) == ("", [-1, -1])


def test_what_a_step_holds_is_more_telling_than_the_span_around_it(tmp_path):
    events = [
        call(0, 10, 1), operation(20, 100, correlation=1),
        span(0, 9000, "execute_context_1(5_5)_generation_0(0)"), span(1000, 3000, "gpu_model_runner: preprocess"),
        span(4000, 5000, "aten::to", "cpu_op"), call(7000, 7010, 2), operation(7100, 7200, correlation=2),
    ]  # fmt: skip
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    assert device.host_ns == {
        "prepare (gpu_model_runner: preprocess)": 2000,
        "step: between aten::to and cudaLaunchKernel": 2000,
        "step: between gpu_model_runner: preprocess and aten::to": 1000,
        "step › aten::to": 1000,
        "step: between cudaLaunchKernel and gpu_model_runner: preprocess": 900,
    }


def test_an_idle_phase_is_no_demand(tmp_path):
    events = [
        call(0, 10, 1), operation(20, 100, correlation=1), span(10, 20, "scheduler.run_batch"),
        span(200, 900, "scheduler.idle_sleep"), call(1000, 1010, 2), operation(1100, 1200, correlation=2),
    ]  # fmt: skip
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    assert device.host_ns == {"no demand": 700, "untraced": 200}


def test_the_names_are_those_of_the_shared_map(shared_map):
    """Where ../shared is there: its table of engines is in ours, rule for rule."""
    known = {engine.name: engine.rules for engine in engines.ENGINES}
    for engine, rules in shared_map.items():
        if not engine.startswith("_"):
            ours = "transformers" if engine == "transformers_cb_wrapped" else engine
            of_ours = [list(rule) for rule in known[ours]]
            assert [rule for rule in of_ours if rule in rules] == rules


@pytest.fixture
def shared_map():
    from tests.conftest import SHARED

    path = SHARED / "phase_map.json"
    if not path.exists():
        pytest.skip("../shared/phase_map.json is not on this machine")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "names",
    [
        ["MLP"],
        ["MLP", "Embedding", "Layer_3"],
        ["schedule"],
        ["update"],
        ["_schedule"],
        ["step[3]"],
        ["run_batch"],
        ["get_logits"],
        ["schedule: a job"],
        ["my_update_batch"],
    ],
)
def test_a_common_word_is_no_engine(names):
    assert recognise(names, range(len(names))).engine == ""


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (["idlescope:schedule"], "idlescope"),
        (["schedule", "update"], "idlescope"),
        (["step[DECODE bs=32]"], "sglang"),
        (["scheduler.run_batch"], "sglang"),
        (["_schedule", "_update_requests"], "trtllm"),
        (["[Executor] _forward_step 7: 0 ctx reqs"], "trtllm"),
        (["Layer_0", "MLP", "Sampler"], "minisgl"),
        (["execute_context_1(5_5)_generation_0(0)"], "vllm"),
    ],
)
def test_two_common_words_or_one_of_its_own_are_an_engine(names, engine):
    assert recognise(names, range(len(names))).engine == engine


def test_a_common_word_does_not_hide_the_engine_that_there_is():
    names = ["schedule", "gpu_model_runner: forward"]
    found = recognise(names, range(len(names)))
    assert (found.engine, found.phase.tolist()[0]) == ("vllm", -1)


NEWER_NAMES = {
    "lmdeploy": {
        "schedule_decoding": "schedule",
        "make_forward_inputs": "prepare",
        "create_model_inputs_delta": "prepare",
        "StepInputs.step_decode": "prepare",
        "build_step_context": "prepare",
        "fill_buffers_cudagraph": "prepare",
        "prepare_dp": "rank_wait",
        "forward_cudagraph": "forward",
        "forward_eager": "forward",
        "draft_model_forward": "draft",
        "rejection_sample": "sample",
    },
    "sglang": {
        "scheduler.run_batch": "forward",
        "step[VERIFY bs=32]": "forward",
        "step[DRAFT bs=32]": "draft",
        "draft": "draft",
        "draft_extend": "draft",
        "step[IDLE bs=0]": "idle",
        "send_reqs_to_next_stage": "rank_wait",
        "send_proxy_dict_to_next_stage": "rank_wait",
        "send_res_dict_to_next_stage": "rank_wait",
        "recv_res_dict_from_prev_stage": "rank_wait",
    },
    "trtllm": {
        "_schedule": "schedule",
        "_can_queue": "rank_wait",
        "wait_on_pp_send_handles": "rank_wait",
        "_check_disagg_gen_transfer_status": "ingest",
        "[Executor] _forward_step: 32 gen reqs": "forward",
        "_forward_step": "forward",
    },
}


@pytest.mark.parametrize("engine", NEWER_NAMES)
def test_names_of_newer_releases_are_known(engine):
    names = list(NEWER_NAMES[engine])
    found = recognise(names, range(len(names)))
    assert found.engine == engine
    assert [found.labels[code] for code in found.phase] == list(
        NEWER_NAMES[engine].values()
    )


VLLM_STEP = "vllm/v1/worker/gpu_model_runner.py(1002): execute_model"
SECOND_RUNNER = "/opt/lib/vllm/v1/worker/gpu/model_runner.py(88): execute_model"
SGLANG_STEP = "sglang/srt/managers/scheduler.py(2802): run_batch"


@pytest.mark.parametrize(
    ("frame", "engine", "phase"),
    [
        (VLLM_STEP, "vllm", "step"),
        (SECOND_RUNNER, "vllm", "step"),
        ("vllm/v1/core/sched/scheduler.py(201): schedule", "vllm", "schedule"),
        (SGLANG_STEP, "sglang", "forward"),
        (
            "sglang/srt/managers/scheduler.py(2415): get_next_batch_to_run",
            "sglang",
            "schedule",
        ),
    ],
)
def test_frames_tell_an_engine_that_wrote_no_spans(frame, engine, phase):
    names = ["my own span", frame]
    found = recognise(names, [0], frames=[1])
    assert (found.engine, found.by_frames) == (engine, True)
    assert found.labels[found.phase[1]] == phase


def test_spans_come_before_frames_and_frames_name_phases_beside_them():
    names = [
        "step[DECODE bs=32]",
        "sglang/srt/managers/scheduler.py(3): process_batch_result",
    ]
    found = recognise([*names, VLLM_STEP], [0], frames=[1, 2])
    assert (found.engine, found.by_frames) == ("sglang", False)
    assert [found.labels[code] for code in found.phase[:2]] == ["forward", "postprocess"]
    assert found.phase[2] == -1


@pytest.mark.parametrize(
    "frame", ["my/gpu_model_runner.py(3): execute_model", "run.py(1): schedule"]
)
def test_functions_of_like_names_elsewhere_are_no_engine(frame):
    assert recognise([frame], [], frames=[0]).engine == ""


def test_steps_are_found_by_frames_where_there_are_no_spans(tmp_path):
    """Prefill launched kernel by kernel, decode as a graph: both are steps, in turn."""
    events = []
    for step in range(6):
        begin = step * 100_000
        events.append(span(begin, begin + 80_000, VLLM_STEP, "python_function"))
        launches = ["cudaGraphLaunch"] if step % 2 else ["cudaLaunchKernel"] * 5
        for index, name in enumerate(launches):
            correlation, start = 10 * step + index + 1, begin + 10_000 + index * 5000
            events += [
                call(start, start + 1000, correlation, name),
                operation(start + 2000, start + 4000, correlation=correlation),
            ]
        events.append(call(begin + 70_000, begin + 79_000, 0, "cudaStreamSynchronize"))
    analysis = idlescope.analyze(open_trace(write(tmp_path / "t.json", events)))
    (device,) = analysis.results
    assert (analysis.engine, device.steps.found) == ("vllm", "vllm frames")
    assert device.steps.operations.tolist() == [5, 1, 5, 1, 5, 1]


def test_a_second_schedule_within_a_steps_preparation_begins_no_step(tmp_path):
    """LMDeploy schedules once more while it makes a step's inputs."""
    events = []
    for step in range(4):
        begin = step * 100_000
        events += [
            span(begin, begin + 20_000, "schedule_decoding"),
            span(begin + 20_000, begin + 50_000, "make_forward_inputs"),
            span(begin + 25_000, begin + 35_000, "schedule_running"),
            span(begin + 60_000, begin + 70_000, "forward_cudagraph"),
            call(begin + 61_000, begin + 62_000, step + 1, "cudaGraphLaunch"),
            operation(begin + 63_000, begin + 90_000, correlation=step + 1),
        ]
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    assert device.steps.start.tolist() == [0, 100_000, 200_000, 300_000]
