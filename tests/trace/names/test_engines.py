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

# The spans of one step as each engine writes them, the phase that each is, and what the steps are found by.
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
        "step (execute_context_N(N_N)_generation_N(N))": 3900,
        "prepare (gpu_model_runner: preprocess)": 2000,
        "range: aten::to": 1000,
    }


def test_an_idle_phase_is_no_demand(tmp_path):
    events = [
        call(0, 10, 1), operation(20, 100, correlation=1), span(10, 20, "scheduler.run_batch"),
        span(200, 900, "scheduler.idle_sleep"), call(1000, 1010, 2), operation(1100, 1200, correlation=2),
    ]  # fmt: skip
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    assert device.host_ns == {"no demand": 700, "untraced": 200}


def test_the_names_are_those_of_the_shared_map(shared_map):
    """Where ../shared is there: its table of engines is ours, rule for rule."""
    known = {engine.name: engine.rules for engine in engines.ENGINES}
    for engine, rules in shared_map.items():
        if not engine.startswith("_"):
            ours = "transformers" if engine == "transformers_cb_wrapped" else engine
            assert [list(rule) for rule in known[ours]] == rules


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
