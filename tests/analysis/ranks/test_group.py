"""Ranks of known skew, transfer and clocks: the waiting found is the waiting made."""

import dataclasses

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import idlescope
from idlescope.analysis.comparison.checks import examine
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.document import Document
from idlescope.analysis.ranks.group_kind import GroupKind
from idlescope.analysis.ranks.verdict import judge
from idlescope.analysis.verdict.findings import VerdictKind
from tests.conftest import FIXTURES
from tests.make.kineto_files import operation
from tests.make.ranks import ALL_REDUCE, SEND_RECV, Job, job, pipeline, write

WITHIN = 0.01


def analyse(folder, events, names=None, **said):
    return idlescope.analyze(idlescope.open(write(folder, events, names, **said)))


def group_of(folder, wanted, **said):
    made = job(wanted)
    return made, analyse(folder, made.events, **said).group


def adds_up(group):
    for rank, part in zip(group.ranks, group.waiting, strict=True):
        assert (
            part.waiting_ns + part.transfer_ns + part.unmatched_ns == rank.communication_ns
        )


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_waiting_is_what_a_late_host_makes_the_others_wait(tmp_path, ranks):
    late = (400_000, *[0] * (ranks - 1))
    made, group = group_of(tmp_path, Job(ranks, late_ns=late))
    adds_up(group)
    assert [part.waiting_ns for part in group.waiting] == made.waiting
    assert [rank.communication_ns for rank in group.ranks] == made.communication
    verdict = judge(group)
    assert verdict.kind == GroupKind.LATE_HOST
    assert verdict.text.startswith("Rank 0's host is late")
    assert group.lateness.steps_last.tolist() == [6, *[0] * (ranks - 1)]


def test_a_rank_that_computes_longer_is_told_from_one_whose_host_is_late(tmp_path):
    made, group = group_of(tmp_path, Job(4, longer_ns=(0, 0, 60_000, 0)))
    assert [part.waiting_ns for part in group.waiting] == made.waiting
    assert judge(group).kind == GroupKind.LONGER_COMPUTE
    assert judge(group).text.startswith("Rank 2 computes longer")


@pytest.mark.parametrize("pause_ns", [3_000_000, 900_000_000])
def test_a_pause_of_all_ranks_makes_a_late_one_no_less_late(tmp_path, pause_ns):
    """However long it is: who waits for whom, for what share of a step, is as without it."""
    late = Job(2, steps=20, late_ns=(100_000, 0))
    _, usual = group_of(tmp_path / "usual", late)
    paused = dataclasses.replace(late, pause_before=10, pause_ns=pause_ns)
    _, group = group_of(tmp_path / "paused", paused)
    adds_up(group)
    assert judge(usual).kind == judge(group).kind == GroupKind.LATE_HOST
    assert group.waiting_pct == pytest.approx(usual.waiting_pct, rel=0.06)
    assert group.step_ns == pytest.approx(usual.step_ns, rel=0.06)


def test_ranks_that_arrive_together_are_balanced(tmp_path):
    _, group = group_of(tmp_path, Job(4))
    assert judge(group).kind == GroupKind.BALANCED
    assert [part.waiting_ns for part in group.waiting] == [0] * 4
    assert group.parallel == "TP 4"


@pytest.mark.parametrize(
    "ahead",
    [60_000, -60_000, 300_000, -300_000, 3_000_000, -70_000_000, 900_000_000_000],
)
def test_clocks_of_several_hosts_are_brought_together_within_the_error_said(
    tmp_path, ahead
):
    wanted = Job(3, late_ns=(0, 250_000, 0), ahead_ns=(0, ahead, -ahead))
    made, group = group_of(tmp_path, wanted)
    adds_up(group)
    for clock, ahead_ns in zip(group.clocks[1:], (ahead, -ahead), strict=True):
        assert abs(clock.ahead_ns - ahead_ns) <= clock.error_ns <= 20_000
    calls = wanted.steps * wanted.layers
    for part, truth in zip(group.waiting, made.waiting, strict=True):
        assert abs(part.waiting_ns - truth) <= max(WITHIN * truth, calls * clock.error_ns)
    assert judge(group).kind == GroupKind.LATE_HOST


def test_where_no_trace_states_its_clock_they_are_brought_together_all_the_same(tmp_path):
    made = job(Job(2, late_ns=(300_000, 0), ahead_ns=(0, 123_456_789)))
    trace = idlescope.open(write(tmp_path, made.events, baseTimeNanoseconds=None))
    assert trace.meta.clocks_apart
    group = idlescope.analyze(trace).group
    assert [part.waiting_ns for part in group.waiting] == made.waiting


def test_recordings_that_begin_some_steps_apart_are_matched(tmp_path):
    wanted = Job(2, steps=12, late_ns=(300_000, 0), first_step=(0, 3))
    made, group = group_of(tmp_path, wanted)
    adds_up(group)
    assert group.waiting[1].waiting_ns == made.waiting[1]
    assert group.waiting[0].unmatched_ns == 3 * wanted.layers * wanted.transfer_ns


def test_a_pipeline_waits_in_its_receives(tmp_path):
    group = analyse(tmp_path, pipeline(2, 10)).group
    verdict = judge(group)
    assert verdict.kind == GroupKind.PIPELINE
    assert verdict.text.startswith("Pipeline of 2: each stage computes 4")
    assert group.parallel == "PP 2"
    adds_up(group)


def test_an_all_to_all_of_sends_and_receives_is_no_pipeline(tmp_path):
    made = job(Job(4, longer_ns=(0, 0, 80_000, 0), collective=SEND_RECV))
    group = analyse(tmp_path, made.events).group
    assert [part.waiting_ns for part in group.waiting] == made.waiting
    assert judge(group).kind == GroupKind.LONGER_COMPUTE


def test_stages_of_several_ranks_are_a_pipeline_all_the_same(tmp_path):
    first, second = pipeline(2, 10)
    both = [within_stage(stage, late) for stage in (first, second) for late in (0, 300)]
    names = [f"dp0_pp{pp}_tp{tp}_rank{2 * pp + tp}.json" for pp in (0, 1) for tp in (0, 1)]
    group = analyse(tmp_path, both, names).group
    adds_up(group)
    assert judge(group).kind == GroupKind.PIPELINE
    assert judge(group).text.startswith("Pipeline of 2")
    assert group.parallel == "PP 2 × TP 2"


def within_stage(events, late):
    """The events of a rank that reduces with another of its stage, a little later than that."""
    reduced = []
    for event in events:
        reduced.append(event)
        if event["name"] == "gemm":
            split = event["ts"] + 200 + late / 1000
            end = event["ts"] + event["dur"]
            device = event["args"]["device"]
            event["dur"] = round(split - event["ts"], 3)
            both = {"correlation": event["args"]["correlation"], "device": device}
            start_ns, end_ns = round(1000 * split), round(1000 * end)
            reduced.append(operation(start_ns, end_ns, **both, name=ALL_REDUCE))
    return reduced


def test_two_groups_of_two_are_not_taken_for_one_of_four(tmp_path):
    first = job(Job(2, late_ns=(300_000, 0)))
    second = job(Job(2, late_ns=(0, 0), compute_ns=130_000))
    names = [f"1-DP-{dp}-TP-{tp}.json" for dp in (0, 1) for tp in (0, 1)]
    group = analyse(tmp_path, first.events + second.events, names).group
    assert [part.waiting_ns for part in group.waiting] == first.waiting + second.waiting
    assert group.parallel == "DP 2 × TP 2"


def test_without_names_the_ends_of_calls_tell_the_groups(tmp_path):
    first = job(Job(2, late_ns=(300_000, 0)))
    second = job(Job(2, compute_ns=130_000))
    group = analyse(tmp_path, first.events + second.events).group
    assert [part.waiting_ns for part in group.waiting] == first.waiting + second.waiting


def test_devices_that_share_a_gpu_are_no_group(tmp_path):
    loop = idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz"))
    assert loop.group is None


@settings(max_examples=15, deadline=None)
@given(
    late=st.lists(st.integers(0, 500_000), min_size=2, max_size=4),
    longer=st.lists(st.integers(0, 90_000), min_size=4, max_size=4),
    transfer=st.integers(1000, 60_000),
)
def test_waiting_and_transfer_add_up_to_communication(
    tmp_path_factory, late, longer, transfer
):
    ranks = len(late)
    wanted = Job(
        ranks, 4, late_ns=tuple(late), longer_ns=tuple(longer[:ranks]), transfer_ns=transfer
    )
    made, group = group_of(tmp_path_factory.mktemp("ranks"), wanted)
    adds_up(group)
    assert [part.waiting_ns for part in group.waiting] == made.waiting


def test_the_document_tells_the_group_and_is_read_again(tmp_path):
    made = job(Job(2, late_ns=(400_000, 0)))
    analysis = analyse(tmp_path, made.events)
    document = msgspec.convert(analysis.to_json(), Document)
    assert document.ranks.kind == "one rank's host is late"
    assert [rank.waiting_ns for rank in document.ranks.ranks] == made.waiting
    assert document.ranks.ranks[1].waits_for_ns == {"rank 0": made.waiting[1]}
    assert dataclasses.replace(analysis, group=None).document().ranks is None


def test_check_holds_ranks_to_the_time_they_wait(tmp_path):
    made = job(Job(2, late_ns=(400_000, 0)))
    folder = write(tmp_path / "ranks", made.events)
    limits = Limits.of(max_waiting="5%", max_exposed_communication="90%")
    by_subject = {(check.limit, check.subject): check for check in examine(folder, limits)}
    assert by_subject["max_waiting", "rank 0"].holds
    assert not by_subject["max_waiting", "rank 1"].holds
    assert by_subject["max_waiting", "rank 1"].found.endswith(" %")
    assert by_subject["max_waiting", "rank 1"].allowed == "5 %"
    exposed = [check for check in by_subject.values() if check.limit != "max_waiting"]
    assert len(exposed) == 2
    assert all(check.holds for check in exposed)


def test_one_device_alone_does_not_tell_whom_it_waits_for():
    (check,) = examine(FIXTURES / "loop_sync.json.gz", Limits.of(max_waiting="5%"))
    assert not check.holds
    assert "it is of one device" in check.says


def test_a_rank_that_mostly_waits_says_for_whom(tmp_path):
    made = job(Job(2, late_ns=(900_000, 0)))
    first, second = analyse(tmp_path, made.events).results
    assert second.verdict.kind == VerdictKind.COMMUNICATION_BOUND
    assert "it only waits for other ranks, most for rank 0" in second.verdict.text
    assert first.verdict.kind != VerdictKind.COMMUNICATION_BOUND


def test_a_rank_without_requests_runs_dummy_batches_for_the_others(tmp_path):
    made = job(Job(2, steps=8, longer_ns=(150_000, 0)))
    spans = {0: "step[DECODE bs=32]", 1: "step[IDLE bs=0]"}
    for rank, events in enumerate(made.events):
        for event in list(events):
            if event["name"].startswith("execute_context"):
                whole = {"name": "scheduler.run_batch"}
                events.append(event | whole)
                event["name"] = spans[rank]
    group = analyse(tmp_path, made.events).group
    verdict = judge(group)
    assert verdict.kind == GroupKind.DUMMIES
    assert verdict.text.startswith("Rank 1 runs dummy batches (8 of 8 forward passes")
    assert group.ranks[0].batch == 32
