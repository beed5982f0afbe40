"""trace_view.json of Ascend's profiler: tasks, launches and figures equal to the truth; damage is told."""

from __future__ import annotations

import gzip
import json

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.open import open_trace
from tests.make import ascend_files
from tests.make.known_work import BASE, assert_figures, assert_holds, steps


def program(**options):
    return ascend_files.of_npu(steps(**options))


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("arrows", [False, True])
def test_every_record_and_figure_is_that_of_the_program(tmp_path, devices, arrows):
    known = program(devices=devices)
    path = ascend_files.write(
        tmp_path / "trace_view.json", ascend_files.events(known, arrows)
    )
    trace = open_trace(path)
    assert trace.meta.format == "ascend"
    assert not trace.meta.warnings
    assert_holds(trace, known)


def test_microseconds_since_1970_are_exact(tmp_path):
    known = program(base=1_699_529_623_106_750_123)
    path = ascend_files.write(tmp_path / "a.json", ascend_files.events(known))
    assert_holds(open_trace(path), known)


def test_waits_and_records_of_events_are_no_work(tmp_path):
    known = program()
    made = ascend_files.events(known)
    for task_type in ("EVENT_WAIT", "NOTIFY_WAIT", "EVENT_RECORD", "PROFILING_ENABLE"):
        made.append({
            "ph": "X", "name": task_type, "pid": ascend_files.HARDWARE, "tid": 2, "ts": ascend_files.us(BASE), "dur": 9e5,
            "args": {"Task Type": task_type},
        })  # fmt: skip
    assert_figures(open_trace(ascend_files.write(tmp_path / "a.json", made)), known)


def test_the_wait_of_the_runtime_makes_a_loop_synchronous(tmp_path):
    made = ascend_files.events(program(count=12))
    (result,) = idlescope.analyze(
        open_trace(ascend_files.write(tmp_path / "a.json", made))
    ).results
    assert result.batching.kind == "synchronous"
    assert result.device.name == "Ascend NPU"


def test_it_may_be_packed_or_a_document(tmp_path):
    known = program()
    text = json.dumps({"traceEvents": ascend_files.events(known)}).encode()
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text))
    assert_figures(open_trace(tmp_path / "a.json.gz"), known)


class TestDamage:
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_a_file_that_was_cut_off_is_one_sentence(self, tmp_path, share):
        path = ascend_files.write(tmp_path / "a.json", ascend_files.events(program()))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(TraceError, match=r"is damaged \(.*torch_npu"):
            open_trace(path)

    @pytest.mark.parametrize("value", ["x", None, [], "nan", "1e400", 1e300])
    def test_times_that_are_none_are_left_out_and_counted(self, tmp_path, value):
        made = ascend_files.events(program())
        made[-2]["ts"] = value
        trace = open_trace(ascend_files.write(tmp_path / "a.json", made))
        assert sum(trace.meta.lost.values()) == 1

    def test_names_of_any_type_are_survived(self, tmp_path):
        made = ascend_files.events(program())
        made.append(
            {"ph": "M", "name": "thread_name", "pid": [1], "tid": {}, "args": {"name": 5}}
        )
        made.append({"ph": "X", "name": "x", "pid": None, "ts": 1, "dur": 1, "args": [1]})
        trace = open_trace(ascend_files.write(tmp_path / "a.json", made))
        assert len(trace.operations) == len(program().work)

    def test_a_file_without_events_is_one_sentence(self, tmp_path):
        made = ascend_files.events(program())
        only_names = [event for event in made if event["ph"] == "M"]
        with pytest.raises(TraceError, match="holds no tasks"):
            open_trace(ascend_files.write(tmp_path / "a.json", only_names))
