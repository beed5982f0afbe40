"""Kineto files of every layout become the same Trace, exact to the nanosecond."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.kineto import events
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, document, operation, read_text, span, write

EVENTS = [
    span(0, 9_000_001, "ProfilerStep#3"),
    call(1_000, 3_001, 11),
    operation(5_123, 9_456, correlation=11),
    operation(10_000, 10_007, "memcpy", device=1, stream="s-9"),
    operation(12_000, 12_500, "memset"),
    span(500, 600, 'odd "},{" name ][', "cpu_op"),
    {"ph": "s", "id": 11, "pid": 50, "tid": 100, "ts": 1.0, "cat": "ac2g", "name": "ac2g"},
    {
        "ph": "M",
        "name": "thread_name",
        "pid": 50,
        "tid": 100,
        "ts": 0,
        "args": {"name": "engine"},
    },
]


@pytest.mark.parametrize("name", ["t.json", "t.json.gz", "no_suffix"])
@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("chunk", [64, 300, 1 << 18])
def test_every_layout_reads_the_same(tmp_path, monkeypatch, name, indent, array, chunk):
    monkeypatch.setattr(events, "CHUNK_BYTES", chunk)
    trace = open_trace(write(tmp_path / name, EVENTS, indent, array))
    o = trace.operations
    assert trace.meta.events == len(EVENTS)
    assert o.start.tolist() == [5_123, 10_000, 12_000]
    assert o.end.tolist() == [9_456, 10_007, 12_500]
    assert o.kind.tolist() == [
        OperationKind.KERNEL,
        OperationKind.MEMCPY,
        OperationKind.MEMSET,
    ]
    assert [trace.devices[d].index for d in o.device] == [0, 1, 0]
    assert [trace.streams[s] for s in o.stream] == ["7", "s-9", "7"]
    assert o.correlation.tolist() == [11, 0, 0]
    assert (trace.calls.start.tolist(), trace.calls.end.tolist()) == ([1_000], [3_001])
    assert [trace.names[n] for n in trace.ranges.name] == [
        "ProfilerStep#3",
        'odd "},{" name ][',
    ]
    assert trace.ranges.kind.tolist() == [RangeKind.ANNOTATION, RangeKind.OPERATOR]
    assert [t.label for t in trace.threads] == ["engine"]
    assert trace.devices[0].name == ("" if array else "Test GPU")


def test_epoch_times_with_decimals_stay_exact_through_a_file(tmp_path):
    text = json.dumps(document([operation(0, 2_001, correlation=1), call(0, 1, 1)]))
    text = text.replace('"ts": 0.0', '"ts": 1669783687389324.123')
    trace = read_text(tmp_path, text)
    assert trace.operations.start.tolist() == [1669783687389324123]
    assert trace.operations.end.tolist() == [1669783687389326124]


@pytest.mark.parametrize("ts", ["12.5", '"12.5"', "1.25e1"])
def test_times_written_as_text_or_with_exponents(tmp_path, ts):
    text = json.dumps(document([operation(0, 1_000)])).replace('"ts": 0.0', f'"ts": {ts}')
    assert read_text(tmp_path, text).operations.start.tolist() == [12_500]


def test_ids_written_as_text_or_missing(tmp_path):
    event = operation(0, 10)
    event["args"] = {"correlation": "12", "bytes": "what", "flops": [1]}
    trace = read_text(
        tmp_path, json.dumps(document([event, {**operation(20, 30), "args": {}}]))
    )
    assert trace.operations.correlation.tolist() == [12, 0]
    assert [trace.streams[s] for s in trace.operations.stream] == ["7", "7"]


def test_triton_rows_with_a_stream_in_their_args_are_host_work(tmp_path):
    rows = [
        {**span(0, 10, "triton_kernel", "cpu_op"), "args": {"stream": 0}},
        operation(20, 30),
    ]
    assert len(open_trace(write(tmp_path / "t.json", rows)).operations) == 1


def test_device_side_annotations_are_no_operations(tmp_path):
    rows = [operation(0, 10), {**operation(0, 100), "cat": "gpu_user_annotation"}]
    assert len(open_trace(write(tmp_path / "t.json", rows)).operations) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is not JSON: it starts with b'hello'"),
        (b"{}", 'has no "traceEvents"'),
        (b'{"a": 1', "is not valid JSON"),
        (b'{"traceEvents": 5}', 'no list of events in "traceEvents"'),
        (b'{"traceEvents": []}', "holds no events"),
        (b"[]", "holds no events"),
        (b"[" * 100_000, "holds no events that can be read"),
        (
            b'{"traceEvents": [{"ph": "X", "cat": "kernel", "ts": "soon"}]}',
            "holds no device operations",
        ),
    ],
)
def test_what_is_no_trace_is_one_sentence(tmp_path, text, reason):
    with pytest.raises(TraceError) as error:
        idlescope.analyze(read_text(tmp_path, text))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(TraceError, match="does not exist"):
        open_trace(tmp_path / "none.json")
    with pytest.raises(TraceError, match="holds no traces"):
        open_trace(tmp_path)


@pytest.mark.parametrize("category", ["Operator", "cpu_op"])
@pytest.mark.parametrize("frames", [True, False])
def test_steps_that_old_torch_wrote_as_operators_are_annotations(
    tmp_path, category, frames
):
    rows = [
        operation(0, 10),
        span(0, 5, "ProfilerStep#7", category),
        span(1, 2, "aten::mm", category),
    ]
    trace = open_trace(write(tmp_path / "t.json", rows), frames=frames)
    kinds = {
        trace.names[name]: kind
        for name, kind in zip(trace.ranges.name, trace.ranges.kind, strict=True)
    }
    expected = {"ProfilerStep#7": RangeKind.ANNOTATION}
    assert kinds == expected | ({"aten::mm": RangeKind.OPERATOR} if frames else {})


@pytest.mark.parametrize(
    ("category", "launch", "wait"),
    [
        ("xpu_runtime", "urEnqueueKernelLaunch", "urQueueFinish"),
        ("xpu_runtime", "zeCommandListAppendLaunchKernel", "zeEventHostSynchronize"),
        ("xpu_driver", "urEnqueueUSMMemcpy", "urEventWait"),
    ],
)
def test_calls_of_intel_gpus_are_linked(tmp_path, category, launch, wait):
    """Four steps of 10 µs: launch, 5 µs of kernel, a wait for it, host work."""
    rows = []
    for step in range(4):
        start = step * 10_000
        rows += [
            {**call(start, start + 500, step + 1, launch), "cat": category},
            {**call(start + 600, start + 6_000, 0, wait), "cat": category},
            operation(start + 1_000, start + 6_000, correlation=step + 1),
        ]
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", rows))).results
    assert device.coverage.linked_pct == 100
    assert device.coverage.launches == 4
    # between the end of a kernel and the next: 4 µs until its launch begins, 1 µs until it runs
    causes = device.to_json()["cause_ns"]
    assert causes == {"host": 12_000, "launch": 3_000, "queued": 0, "unattributed": 0}
