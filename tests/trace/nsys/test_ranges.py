"""The host ranges of an export: NVTX ranges, operators, the profiler's overhead."""

from __future__ import annotations

import pytest

from idlescope.trace.model import RangeKind
from idlescope.trace.nsys import reader
from tests.make.nsys_files import NVTX, OVERHEAD, Export, process
from tests.trace.nsys.small_export import names, read, small


def test_ranges_have_their_text_or_the_registered_string_and_their_domain_before_it(
    tmp_path,
):
    trace = read(small(), tmp_path)
    assert names(trace, "ranges") == ["forward", "idlescope:schedule", "aten::mm"] * 2
    kinds = [RangeKind.ANNOTATION, RangeKind.ANNOTATION, RangeKind.OPERATOR]
    assert trace.ranges.kind.tolist() == kinds * 2


def test_domains_are_a_processes_own(tmp_path):
    export = Export()
    for pid, name in ((100, "NCCL"), (200, "CCCL")):
        export.range(1, 2, "ncclAllReduce", domain=1, pid=pid)
        export.domain(1, name, pid)
    export.range(
        1, 2, "x", domain=1, pid=300
    )  # the row with this domain's name is not in the export
    assert names(read(export, tmp_path), "ranges") == [
        "NCCL:ncclAllReduce",
        "CCCL:ncclAllReduce",
        "x",
    ]


@pytest.mark.parametrize(
    "payload", ["int64Value", "uint64Value", "int32Value", "uint32Value"]
)
def test_a_payload_in_our_domain_is_a_step_number_and_elsewhere_it_is_not(
    tmp_path, payload
):
    export = Export()
    export.domain(1, "idlescope")
    export.range(1, 2, "schedule", domain=1, **{payload: 41})
    export.range(2, 3, "update", domain=1)
    export.range(3, 4, "update", domain=1, **{payload: -5})
    export.range(4, 5, "else", **{payload: 41})
    assert read(export, tmp_path).ranges.step.tolist() == [41, -1, -1, -1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("aten::view, op_id = 314290", "aten::view"),
        ("FlashAttnFunc, seq = 45368, op_id = 990812", "FlashAttnFunc"),
        ("MmBackward0, seq = 3", "MmBackward0"),
        ("aten::to, op_id = 5, sizes = [[2], []], input_op_ids = [(1,0)]", "aten::to"),
        ("FSDP::pre_forward (blocks.3), op_id = 1", "FSDP::pre_forward (blocks.3)"),
    ],
)
def test_operators_of_pytorch_lose_their_ids_and_are_left_out_without_frames(
    tmp_path, text, name
):
    export = Export()
    export.range(1, 2, text)
    export.range(1, 3, "step, batch = 4")
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == [name, "step, batch = 4"]
    assert trace.ranges.kind.tolist() == [RangeKind.OPERATOR, RangeKind.ANNOTATION]
    assert names(reader.read(tmp_path / "e.sqlite", frames=False), "ranges") == [
        "step, batch = 4"
    ]


def test_start_end_ranges_are_kept_and_marks_are_not(tmp_path):
    export = Export()
    export.range(1, 2, "pushed")
    export.range(1, 5, "started", event=60, endGlobalTid=process(100) | 999)
    export.range(3, None, "mark", event=34)
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == ["pushed", "started"]
    assert [trace.threads[t].label for t in trace.ranges.thread] == ["100:101", "100:101"]
    assert not trace.meta.warnings


def test_a_range_that_was_never_closed_ends_with_the_recording(tmp_path):
    export = Export()
    export.range(100, None, "open")
    export.kernel(500, 900)
    trace = read(export, tmp_path)
    assert trace.ranges.end.tolist() == [900]
    assert list(trace.meta.warnings) == [
        f"ranges that were never closed end with the recording: 1, the first at {NVTX} row 1"
    ]
    assert not trace.meta.lost


def test_the_profilers_own_work_is_overhead(tmp_path):
    export = Export()
    tid = process(100) | 101
    export.add(
        OVERHEAD,
        start=5,
        end=8,
        globalTid=tid,
        nameId=export.string("Command Buffer Full"),
        overheadType=8,
    )
    export.add("PROFILER_OVERHEAD", start=6, end=7, globalTid=tid, nameId=None)
    export.add("PROFILER_OVERHEAD", start=0, end=0, globalTid=tid)
    export.add("PROFILER_OVERHEAD", start=9, end=2, globalTid=tid)
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == ["Command Buffer Full", "profiler overhead"]
    assert set(trace.ranges.kind.tolist()) == {RangeKind.OVERHEAD}
    assert trace.meta.lost == {"ranges": 2}
