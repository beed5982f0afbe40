"""Steps are told apart by what they compute; what scheduled nothing is no step of the engine."""

import pytest

import idlescope
from idlescope.analysis.steps.by_kind import by_kind
from idlescope.analysis.steps.stated_names import parse
from idlescope.analysis.steps.step_kind import STEP_KINDS
from tests.conftest import FIXTURES
from tests.make.engine_loops import (
    DECODE,
    MS,
    NOTHING,
    Loop,
    prefills_and_decodes,
    sglang_idle_rank,
    vllm_dummies,
    vllm_starved,
)
from tests.make.kineto_files import write


def analysed(tmp_path, events):
    (device,) = idlescope.analyze(
        idlescope.open(write(tmp_path / "t.json", events))
    ).results
    return device


def kinds(device):
    return [str(STEP_KINDS[code]) for code in device.steps.kind]


@pytest.mark.parametrize(
    ("name", "prompts", "decodes"),
    [
        ("execute_context_2(500)_generation_30(30)", 2, 30),
        ("execute_new_1_cached_7", 1, 7),
        (NOTHING, 0, 0),
        ("step[DECODE bs=32]", 0, 32),
        ("step[EXTEND bs=2 toks=700]", 2, 0),
        ("step[TARGET_VERIFY bs=4]", 0, 4),
        ("step[MIXED bs=5 c=2 g=3]", 2, 3),
        ("step[IDLE bs=0]", 0, 0),
        ("[Executor] _forward_step 7: 1 ctx reqs, 500 ctx tokens, 30 gen reqs", 1, 30),
    ],
)
def test_names_say_how_many_prompts_and_decodes_a_step_has(name, prompts, decodes):
    work = parse(name)
    assert (work.prompts, work.decodes) == (prompts, decodes)


@pytest.mark.parametrize(
    ("name", "tokens", "context", "pairs"),
    [
        ("DECODE bs=2 g_sq=2 g_sqsq=2 g_sqsk=30 g_sk=30", 2, 30, 29),
        ("DECODE bs=32 g_sq=32 g_sqsq=32 g_sqsk=64000 g_sk=64000", 32, 64000, 63984),
        # a prompt of 100 tokens: half of its square
        (
            "EXTEND bs=1 toks=100 c_sq=100 c_sqsq=10000 c_sqsk=10000 c_sk=100",
            100,
            100,
            5000,
        ),
        (
            "MIXED bs=2 c=1 g=1 c_sq=5 c_sk=8 c_sqsq=25 c_sqsk=40 "
            "g_sq=1 g_sk=12 g_sqsq=1 g_sqsk=12",
            6,
            20,
            39,
        ),
        # an older one without the number of queries
        ("DECODE bs=2 g_sqsq=2 g_sqsk=30 g_sk=30", 2, 30, 29),
    ],
)
def test_detailed_names_of_sglang_say_the_context(name, tokens, context, pairs):
    work = parse(f"step[{name} forward_id=12]")
    assert (work.tokens, work.context, work.pairs) == (tokens, context, pairs)


@pytest.mark.parametrize("spans", [True, False])
def test_an_eager_prefill_beside_graphs_is_a_step_of_its_own(tmp_path, spans):
    device = analysed(tmp_path, prefills_and_decodes(5, spans))
    assert kinds(device) == ["prefill", "decode"] * 5
    prefill, decode = by_kind(device)
    assert (prefill.steps, decode.steps) == (5, 5)
    assert (prefill.device_ns, decode.device_ns) == (16 * MS, 4 * MS)
    assert prefill.step_ns == prefill.device_ns + prefill.idle_ns
    assert not device.batching.early


def test_a_loop_of_one_kind_of_launch_has_no_kinds(tmp_path):
    loop = Loop()
    for _ in range(6):
        loop.wait(loop.launch())
    device = analysed(tmp_path, loop.events)
    assert set(kinds(device)) == {"not told"}
    assert by_kind(device) == []


def test_iterations_that_scheduled_nothing_are_no_steps(tmp_path):
    device = analysed(tmp_path, vllm_starved(rounds=4, worked=5, empty=30))
    assert device.steps.number.tolist() == list(range(20))
    assert (len(device.empty), int(device.empty.operations.sum())) == (120, 0)
    assert set(kinds(device)) == {"decode"}


def test_dummy_batches_outside_of_spans_are_cut_at_their_launches(tmp_path):
    device = analysed(tmp_path, vllm_dummies(worked=5, dummies=25))
    assert (len(device.steps), len(device.empty)) == (5, 25)
    assert device.steps.device.tolist() == [4 * MS] * 5
    assert device.empty.device.tolist() == [4 * MS] * 25


def test_what_every_step_launches_outside_of_its_span_belongs_to_it(tmp_path):
    """Such as the draft model of speculative decoding."""
    loop = Loop()
    for _ in range(8):
        loop.wait(loop.launch(DECODE))
        loop.wait(loop.launch())
    device = analysed(tmp_path, loop.events)
    assert (len(device.steps), len(device.empty)) == (8, 0)
    assert device.steps.device.tolist() == [8 * MS] * 8


def test_idle_batches_of_sglang_are_no_steps(tmp_path):
    device = analysed(tmp_path, sglang_idle_rank(10))
    assert (len(device.steps), len(device.empty)) == (0, 10)
    (figures,) = by_kind(device)
    assert (str(figures.kind), figures.steps, figures.device_ns) == ("empty", 10, 4 * MS)


@pytest.mark.parametrize("name", ["vllm_8b_sync", "vllm_8b_async", "sglang_8b_sync_stacks"])
def test_decodes_of_real_engines_are_decodes(name):
    (device,) = idlescope.analyze(idlescope.open(FIXTURES / f"{name}.json.gz")).results
    assert set(kinds(device)) == {"decode"}
    assert not len(device.empty)


def test_kinds_are_in_the_document(tmp_path):
    path = write(tmp_path / "t.json", prefills_and_decodes(5))
    document = idlescope.analyze(idlescope.open(path)).to_json()
    (device,) = document["devices"]
    assert [figures["kind"] for figures in device["step_kinds"]] == ["prefill", "decode"]
    assert [step["kind"] for step in document["steps"]] == ["prefill", "decode"] * 5
