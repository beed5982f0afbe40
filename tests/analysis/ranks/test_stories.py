"""What is said of jobs whose story is known: who was late, when, why, and what cannot be seen."""

from __future__ import annotations

import json
import re

import pytest

import idlescope
from idlescope.analysis.comparison.checks import examine
from idlescope.analysis.comparison.limits import Limits
from idlescope.analysis.ranks.group_kind import GroupKind
from idlescope.analysis.ranks.verdict import judge
from idlescope.report.tables.ranks import verdict_lines
from tests.conftest import FIXTURES
from tests.make.kineto_files import span
from tests.make.pipelines import uneven_pipeline
from tests.make.rank_programs import Meet, Ranks, Run, simulate
from tests.make.ranks import ALL_REDUCE, SEND_RECV, pipeline, write

CUSTOM = "void sglang::cross_device_reduce_1stage<__nv_bfloat16, 4>(sglang::RankData*)"
DISPATCH = "void deep_ep::internode_ll::dispatch<true, false, 7168>"
COMBINE = "void deep_ep::internode_ll::combine<true, 7168, 9>"
MS = 1_000_000
SETTLED_NS = 300_000  # of a host's work before each launch
WITHIN = 0.2  # points of the window


def all_reduces(ranks, longer=lambda rank, step: 0, kernel=ALL_REDUCE, layers=4):
    """A tensor-parallel program: in each layer a product, then a reduction of all ranks."""
    among = tuple(range(ranks))

    def program(rank, step):
        layer = [Run("gemm", 100_000 + longer(rank, step)), Meet(kernel, among, 10_000)]
        return layer * layers

    return program


def late(ranks, by_ns=MS, when=lambda step: True):
    """A host's work that is longer on some ranks, in some steps."""
    return lambda rank, step: SETTLED_NS + (by_ns if rank in ranks and when(step) else 0)


def experts(ranks, tokens_ns):
    """An expert-parallel program: what each rank's experts take differs."""
    among = tuple(range(ranks))

    def program(rank, step):
        return [
            operation
            for layer in range(4)
            for operation in (
                Run("attention", 80_000),
                Meet(DISPATCH, among, 15_000),
                Run("grouped_gemm", tokens_ns(rank, step, layer)),
                Meet(COMBINE, among, 15_000),
            )
        ]

    return program


def told(folder, events, names=None):
    """The group that the files of ranks make."""
    names = names or [f"1700-TP-{rank}.trace.json" for rank in range(len(events))]
    return idlescope.analyze(idlescope.open(write(folder, events, names))).group


def waits_as_in(group, truth):
    """Whether each rank waits as long as it was made to."""
    assert list(group.waiting_pct) == pytest.approx(truth.waiting_pct, abs=WITHIN)


def cut(events, share, from_end=False):
    """A part of a recording: its beginning, or its end."""
    times = sorted(event["ts"] for event in events)
    limit = times[int(len(times) * share)]
    return [event for event in events if (event["ts"] >= limit) == from_end]


def by_clock(events, ahead_ns, drift=0.0):
    """The events as a clock shows them that is ahead, and gains so much."""

    def shown(time_us):
        return (round(1000 * time_us * (1 + drift)) + ahead_ns) / 1000

    return [
        event
        | {
            "ts": shown(event["ts"]),
            "dur": round(shown(event["ts"] + event["dur"]) - shown(event["ts"]), 3),
        }
        for event in events
    ]


@pytest.mark.parametrize("ranks", [4, 8])
@pytest.mark.parametrize("kernel", [ALL_REDUCE, CUSTOM])
def test_the_rank_whose_host_is_late_is_named(tmp_path, ranks, kernel):
    truth = simulate(Ranks(ranks, 12, all_reduces(ranks, kernel=kernel), late({2})))
    group = told(tmp_path, truth.events)
    waits_as_in(group, truth)
    assert judge(group).kind == GroupKind.LATE_HOST
    assert judge(group).text.startswith("Rank 2's host is late")
    assert "1.00 ms per step for it" in judge(group).text
    assert group.parallel == f"TP {ranks}"


def test_ranks_that_are_late_together_are_all_named(tmp_path):
    truth = simulate(Ranks(4, 12, all_reduces(4), late({0, 1})))
    text = judge(told(tmp_path, truth.events)).text
    assert text.startswith("The hosts of ranks 0 and 1 are late")
    assert "ranks 2 and 3 wait 1.00 ms per step for them" in text


@pytest.mark.parametrize(
    ("program", "host", "why"),
    [
        (
            all_reduces(4),
            lambda rank, step: SETTLED_NS + MS * (step % 4 == rank),
            "their hosts are late",
        ),
        (
            experts(
                4,
                lambda rank, step, layer: 100_000 + 150_000 * ((step + layer) % 4 == rank),
            ),
            late(()),
            "they compute for different times",
        ),
    ],
)
def test_lateness_that_moves_between_ranks_says_why(tmp_path, program, host, why):
    truth = simulate(Ranks(4, 16, program, host))
    group = told(tmp_path, truth.events)
    waits_as_in(group, truth)
    assert judge(group).kind == GroupKind.TURNS
    assert why in judge(group).text


@pytest.mark.parametrize(
    ("when", "label", "said"),
    [
        (lambda step: step % 10 == 3, None, " 30.00 ms in each of 3 of 30 steps for it"),
        (
            lambda step: step >= 20,
            None,
            " 30.00 ms in each of 10 of 30 steps (one after the other, 20 to 29) for it",
        ),
        (
            lambda step: step % 6 == 0,
            "step[EXTEND bs=4 toks=4096]",
            " 30.00 ms in each of 5 of 30 steps (all of them prefill) for it",
        ),
    ],
)
def test_waiting_of_few_steps_is_not_called_one_per_step(tmp_path, when, label, said):
    def name(_, step):
        return label if label and when(step) else "step[DECODE bs=32]"

    job = Ranks(4, 30, all_reduces(4), late({1}, 30 * MS, when), label=name)
    assert said in judge(told(tmp_path, simulate(job).events)).text


def test_experts_that_many_tokens_choose_make_their_rank_compute_longer(tmp_path):
    program = experts(4, lambda rank, step, layer: 200_000 if rank == 2 else 100_000)
    truth = simulate(Ranks(4, 12, program))
    group = told(tmp_path, truth.events)
    waits_as_in(group, truth)
    assert judge(group).text.startswith("Rank 2 computes longer")
    assert group.parallel.endswith("EP 4")


def test_a_larger_batch_is_why_a_rank_computes_longer(tmp_path):
    program = experts(4, lambda rank, step, layer: 200_000 if rank == 1 else 100_000)
    job = Ranks(
        4, 12, program, label=lambda rank, _: f"step[DECODE bs={64 if rank == 1 else 32}]"
    )
    names = [f"1700-TP-{rank}-DP-{rank}.trace.json" for rank in range(4)]
    text = judge(told(tmp_path, simulate(job).events, names)).text
    assert "with 64 requests in a step where the others have 32" in text


def test_a_rank_without_requests_half_of_the_time_works_the_other_half(tmp_path):
    program = experts(4, lambda rank, step, layer: 100_000)
    job = Ranks(
        4,
        20,
        program,
        label=lambda rank, step: (
            "step[IDLE bs=0]" if rank == 3 and step >= 8 else "step[DECODE bs=32]"
        ),
    )
    names = [f"1700-TP-{rank}-DP-{rank}.trace.json" for rank in range(4)]
    verdict = judge(told(tmp_path, simulate(job).events, names))
    assert verdict.kind == GroupKind.DUMMIES
    assert "12 of 20 forward passes have no request" in verdict.text
    assert "does no useful work then" in verdict.text


class TestPipelines:
    @pytest.mark.parametrize(
        "compute_ns", [(MS, 2 * MS, MS), (MS, 3 * MS // 2, MS, MS // 2)]
    )
    def test_one_batch_in_flight_leaves_each_stage_idle_in_turn(self, tmp_path, compute_ns):
        truth = uneven_pipeline(compute_ns, rounds=8, batches=1)
        group = told(tmp_path, truth.events, [f"r{n}.json" for n in range(len(compute_ns))])
        waits_as_in(group, truth)
        verdict = judge(group)
        assert verdict.kind == GroupKind.PIPELINE
        assert verdict.text.startswith(f"Pipeline of {len(compute_ns)}")
        assert f"Keep {len(compute_ns)} batches in flight" in verdict.text
        assert "Rank 1 has most to do" in verdict.text

    def test_a_full_one_waits_for_its_largest_stage(self, tmp_path):
        truth = uneven_pipeline((MS, 2 * MS, MS), rounds=6, batches=3)
        text = judge(told(tmp_path, truth.events, ["a.json", "b.json", "c.json"])).text
        assert "batches in flight" not in text
        assert "Rank 1 has most to do, 2.00 ms per batch where the stages have 1.33" in text

    def test_two_stages_take_turns_where_an_all_to_all_does_not(self, tmp_path):
        truth = uneven_pipeline((MS, 2 * MS), rounds=8, batches=1)
        group = told(tmp_path / "pipeline", truth.events, ["a.json", "b.json"])
        waits_as_in(group, truth)
        assert judge(group).kind == GroupKind.PIPELINE
        program = all_reduces(2, lambda rank, _: 50_000 * rank, SEND_RECV)
        truth = simulate(Ranks(2, 12, program))
        group = told(tmp_path / "experts", truth.events, ["a.json", "b.json"])
        waits_as_in(group, truth)
        assert judge(group).kind == GroupKind.LONGER_COMPUTE

    @pytest.mark.parametrize("ahead_ns", [-410_000, 205_000, 410_000, -5 * MS, 70 * MS])
    def test_two_stages_wait_as_long_by_clocks_that_disagree(self, tmp_path, ahead_ns):
        """Half a period apart, both receive and compute at the same time by their clocks."""
        events = pipeline(2, 20)
        usual = told(tmp_path / "usual", events, ["a.json", "b.json"])
        events[1] = by_clock(events[1], ahead_ns)
        group = told(tmp_path / "apart", events, ["a.json", "b.json"])
        assert judge(group).kind == judge(usual).kind == GroupKind.PIPELINE
        assert group.waiting_pct == pytest.approx(usual.waiting_pct, abs=9)
        assert "each stage computes 4" in judge(group).text

    @pytest.mark.parametrize("compute_ns", [(MS, MS), (MS, 2 * MS), (MS, 2 * MS, MS)])
    @pytest.mark.parametrize("ahead_ns", [300_000, -7 * MS])
    def test_stages_that_only_hand_on_are_told_by_clocks_that_disagree(
        self, tmp_path, compute_ns, ahead_ns
    ):
        truth = uneven_pipeline(compute_ns, rounds=12, batches=1)
        events = [
            by_clock(of_rank, ahead_ns * rank) for rank, of_rank in enumerate(truth.events)
        ]
        group = told(tmp_path, events, [f"r{n}.json" for n in range(len(compute_ns))])
        assert judge(group).kind == GroupKind.PIPELINE
        waits_as_in(group, truth)

    @pytest.mark.parametrize("ahead_ns", [370_000, -7 * MS])
    def test_an_all_to_all_by_clocks_that_disagree_is_no_pipeline(self, tmp_path, ahead_ns):
        program = all_reduces(2, lambda rank, _: 50_000 * rank, SEND_RECV)
        truth = simulate(Ranks(2, 12, program))
        events = [truth.events[0], by_clock(truth.events[1], ahead_ns)]
        assert judge(told(tmp_path, events)).kind == GroupKind.CANNOT_TELL

    def test_clocks_of_one_file_are_one(self, shared_traces):
        """Two ranks under one Nsight Systems: nothing is to be brought together."""
        trace = idlescope.open(shared_traces / "nsys_torchrun_2gpu_before.sqlite")
        group = idlescope.analyze(trace).group
        assert [clock.ahead_ns for clock in group.clocks] == [0, 0]
        assert judge(group).kind == GroupKind.BALANCED


class TestClocks:
    @pytest.mark.parametrize("drift", [0.0, 40e-6])
    def test_of_hosts_that_are_seconds_apart_and_drift(self, tmp_path, drift):
        truth = simulate(Ranks(4, 60, all_reduces(4), late({1})))
        ahead = (0, 3_200_000_000, 7_100_000_000, -1_500_000_000)
        drifts = (0, drift, -drift, drift)
        events = [
            by_clock(of_rank, ahead_ns, rate)
            for of_rank, ahead_ns, rate in zip(truth.events, ahead, drifts, strict=True)
        ]
        group = told(tmp_path, events)
        waits_as_in(group, truth)
        for rank, part in zip(group.ranks, group.waiting, strict=True):
            parts = part.waiting_ns + part.transfer_ns + part.unmatched_ns
            assert parts == rank.communication_ns
        assert [clock.drift for clock in group.clocks] == pytest.approx(drifts, abs=2e-6)
        gaining = any("gain up to 40 µs per s" in line for line in verdict_lines(group))
        assert gaining == (drift > 0)


class TestRecordings:
    """Recordings that are cut, longer than others, missing, or made in another way."""

    truth = simulate(Ranks(4, 24, all_reduces(4), late({1})))

    def test_one_that_was_cut_short_does_not_hide_the_rest(self, tmp_path):
        *others, last = self.truth.events
        group = told(tmp_path, [*others, cut(last, 0.25)])
        whole = group.waiting_pct[:3]
        assert list(whole) == pytest.approx(self.truth.waiting_pct[:3], abs=WITHIN)
        assert "1.00 ms per step for it" in judge(group).text
        assert any("Rank 3 was recorded for 2" in line for line in verdict_lines(group))

    @pytest.mark.parametrize("from_end", [False, True])
    def test_of_the_late_rank_half_leaves_half_unknown(self, tmp_path, from_end):
        first, second, *others = self.truth.events
        group = told(tmp_path, [first, cut(second, 0.5, from_end), *others])
        for index in (0, 2, 3):
            assert group.waiting_pct[index] == pytest.approx(
                self.truth.waiting_pct[index] / 2, abs=3
            )
        assert "Rank 1's host is late" in judge(group).text

    @pytest.mark.parametrize("from_end", [False, True])
    def test_one_that_is_twice_as_long_is_matched_where_the_others_are(
        self, tmp_path, from_end
    ):
        first, second, *others = (
            cut(events, 0.5, from_end) for events in self.truth.events
        )
        del second
        group = told(tmp_path, [first, self.truth.events[1], *others])
        for index in (0, 2, 3):
            assert group.waiting_pct[index] == pytest.approx(
                self.truth.waiting_pct[index], abs=2
            )

    def test_recordings_of_equal_length_that_begin_apart_are_matched_by_their_times(
        self, tmp_path
    ):
        first = [
            event
            for event in self.truth.events[0]
            if event in cut(self.truth.events[0], 0.8)
        ]
        second = cut(self.truth.events[1], 0.2, from_end=True)
        group = told(tmp_path, [first, second], ["rank0.json", "rank1.json"])
        assert group.waiting[1].waiting_ns < 0.01 * group.waiting[0].waiting_ns
        assert all(clock.ahead_ns == 0 for clock in group.clocks)

    def test_that_of_the_late_rank_may_be_missing(self, tmp_path):
        write(tmp_path, self.truth.events, [f"rank{rank}.json" for rank in range(4)])
        (tmp_path / "rank1.json").unlink()
        verdict = judge(idlescope.analyze(idlescope.open(tmp_path)).group)
        assert verdict.kind == GroupKind.CANNOT_TELL
        assert "Most likely they wait for rank 1" in verdict.text
        (check,) = examine(tmp_path, Limits.of(max_waiting="5%"))
        assert not check.holds
        assert "Whom the ranks wait for cannot be told" in check.says

    def test_one_that_lost_its_metadata_is_known_by_its_name(self, tmp_path):
        write(
            tmp_path, self.truth.events, [f"1700-TP-{rank}.trace.json" for rank in range(4)]
        )
        whole = (tmp_path / "1700-TP-2.trace.json").read_bytes()
        (tmp_path / "1700-TP-2.trace.json").write_bytes(whole[: len(whole) * 6 // 10])
        analysis = idlescope.analyze(idlescope.open(tmp_path))
        assert [rank.label for rank in analysis.group.ranks] == [
            f"rank {n}" for n in range(4)
        ]
        assert not any("missing" in warning for warning in analysis.warnings)

    def test_stacks_on_the_late_rank_alone_are_said_to_slow_it(self, tmp_path):
        first, second, *others = self.truth.events
        frames = [
            span(
                round(1000 * event["ts"]),
                round(1000 * (event["ts"] + event["dur"])),
                "f.py(1): f",
            )
            | {"cat": "python_function"}
            for event in second
            if event["cat"] == "user_annotation"
        ]
        text = judge(told(tmp_path, [first, second + frames, *others])).text
        assert "Only rank 1 was recorded with Python stacks" in text


def test_servers_that_are_each_the_only_rank_of_their_job_are_called_by_their_files(
    tmp_path,
):
    truth = simulate(Ranks(2, 6, lambda rank, step: [Run("gemm", 100_000)]))
    alone = json.loads('{"rank": 0, "world_size": 1}')
    folder = write(tmp_path, truth.events, ["one.json", "two.json"], distributedInfo=alone)
    processes = [device.process_name for device in idlescope.open(folder).devices]
    assert processes == ["one.json", "two.json"]


def test_the_slowed_rank_of_a_real_server_is_named_with_its_milliseconds():
    """vLLM on two H200s; rank 1 spent 2 ms in a loop before each step, and steps took 2.04 ms more."""
    trace = idlescope.open(FIXTURES / "vllm_8b_tp2_slow")
    group = idlescope.analyze(trace).group
    assert judge(group).kind == GroupKind.LATE_HOST
    text = judge(group).text
    assert text.startswith("Rank 1's host is late")
    (said_ms,) = re.findall(r"rank 0 waits ([\d.]+) ms per step for it in all-reduce", text)
    assert float(said_ms) == pytest.approx(2.04, rel=0.1)
    steps, second = 10, group.waiting[1]
    assert second.exposed_waiting_ns < 0.1 * MS * steps
