"""A large file is read by several processes; the result is that of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import idlescope
from idlescope.trace.kineto import events as kineto_events
from idlescope.trace.kineto import parts
from tests.make.commands import ROOT
from tests.make.damaged_kineto import COUNT, LAYOUTS, WHOLE, names
from tests.make.kineto_files import read_text, span


class TestParts:
    @pytest.fixture
    def _split(self, monkeypatch):
        monkeypatch.setattr(parts, "PART_BYTES", 500)
        monkeypatch.setenv("IDLESCOPE_JOBS", "2")

    @pytest.mark.usefixtures("_split")
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_several_parts_are_one_trace(self, tmp_path, layout, monkeypatch):
        monkeypatch.setenv("IDLESCOPE_JOBS", "1")
        one = read_text(tmp_path, LAYOUTS[layout])
        for jobs in ("2", "4"):
            monkeypatch.setenv("IDLESCOPE_JOBS", jobs)
            several = read_text(tmp_path, LAYOUTS[layout])
            assert names(several) == names(one)
            assert several.meta == one.meta
            assert idlescope.analyze(several).to_json() == idlescope.analyze(one).to_json()

    @pytest.mark.usefixtures("_split")
    def test_there_is_a_process_for_each_part_but_the_first(self, tmp_path, monkeypatch):
        started = []
        start = parts._own_process

        def noted(reading, begin, end):
            started.append((begin, end))
            return start(reading, begin, end)

        monkeypatch.setattr(parts, "_own_process", noted)
        monkeypatch.setenv("IDLESCOPE_JOBS", "4")
        assert len(read_text(tmp_path, WHOLE).operations) == COUNT
        begins, ends = zip(*started, strict=True)
        assert len(started) == 3
        assert ends == (*begins[1:], None)

    @pytest.mark.usefixtures("_split")
    def test_damage_in_the_second_half_is_found_at_its_place(self, tmp_path):
        at = WHOLE.index(b'"k39"')
        trace = read_text(tmp_path, WHOLE[:at] + b'"C:\\Win"' + WHOLE[at + 5 :])
        (warning,) = trace.meta.warnings
        assert warning.endswith(f"{at + 3:,}")

    @pytest.mark.usefixtures("_split")
    def test_without_a_second_process_one_reads_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parts.sys, "executable", "/bin/false")
        monkeypatch.setenv("IDLESCOPE_JOBS", "3")
        assert len(read_text(tmp_path, WHOLE).operations) == COUNT

    def test_objects_nested_in_an_event_are_no_boundary(self):
        text = (
            json.dumps(span(0, 5, "a") | {"args": {"list": [{"x": 1}, {"y": 2}]}})
            + ", "
            + json.dumps(span(9, 10, "b"))
        )
        assert kineto_events.event_boundary(text.encode(), 100) == 100 + text.rindex(
            '{"ph"'
        )


COPIES = """
import sys
from pathlib import Path
from idlescope.children import start
from idlescope.children.forked import allow_forks
from idlescope.trace.kineto import parts
from idlescope.trace.kineto.reader import read

copies = []
start.ForkedChild = lambda work, copy=start.ForkedChild: copies.append(work) or copy(work)
allow_forks()
parts.PART_BYTES = 500
trace = read(Path(sys.argv[1]))
print(len(copies), len(trace.operations), len(trace.meta.warnings))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only")
def test_a_command_reads_the_parts_by_copies_of_itself(tmp_path):
    whole = read_text(tmp_path, WHOLE)
    done = subprocess.run(
        [sys.executable, "-c", COPIES, str(tmp_path / "t.json")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "IDLESCOPE_JOBS": "3",
            "OPENBLAS_NUM_THREADS": "1",
        },
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == f"2 {len(whole.operations)} 0\n"
