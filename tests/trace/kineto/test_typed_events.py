"""Events of known categories are decoded with the fields that are read of them; nothing is lost."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

import idlescope
from idlescope.trace.kineto import events as kineto_events
from idlescope.trace.kineto import parts, salvage, typed_events
from idlescope.trace.kineto.records import decode_list
from idlescope.trace.kineto.typed_events import MISSES_ALLOWED, TypedDecoder
from tests.make.kineto_files import document, operation, read_text, span

FIXTURES = Path(__file__).parents[2] / "fixtures"
SPAN = json.dumps(span(0, 10, "step")).encode()
OF_ANOTHER_TOOL = (
    b'{"ph": "X", "cat": "my_tool", "name": "a", "pid": 1, "tid": 1, "ts": 5.5}'
)


def plain_events(monkeypatch):
    monkeypatch.setattr(parts, "TypedDecoder", lambda frames: decode_list)


def columns_of(trace):
    tables = [getattr(trace, field.name) for field in dataclasses.fields(trace)][:4]
    return {
        f"{type(table).__name__}.{name}": getattr(table, name)
        for table in tables
        for name in table.DTYPES
    }


class TestTypedEvents:
    @pytest.mark.parametrize("frames", [True, False])
    @pytest.mark.parametrize(
        "name", ["vllm_1b_async", "loop_copies", "sglang_8b_sync_stacks"]
    )
    def test_a_trace_is_the_same_as_of_plain_events(self, name, frames, monkeypatch):
        path = FIXTURES / f"{name}.json.gz"
        typed = idlescope.open(path, frames=frames)
        plain_events(monkeypatch)
        plain = idlescope.open(path, frames=frames)
        assert typed.names == plain.names
        assert typed.meta == plain.meta
        expected = columns_of(plain)
        for column, values in columns_of(typed).items():
            np.testing.assert_array_equal(values, expected[column], column)

    def test_most_batches_of_a_real_trace_are_typed(self, tmp_path):
        text = gzip.decompress((FIXTURES / "vllm_1b_async.json.gz").read_bytes())
        (path := tmp_path / "a.json").write_bytes(text)
        events = kineto_events.KinetoEvents(path, parts.Damage(), decode=TypedDecoder())
        typed = [len(batch.events) for batch in events if batch.typed]
        assert (
            sum(typed)
            > 0.5 * parts.read_part(parts.Reading(path, True, False), 0, None).events
        )

    @pytest.mark.parametrize("name", ["ProfilerStep#7", "ProfilerStep\\u00237"])
    def test_steps_of_the_profiler_are_wanted_among_frames_that_are_not(
        self, tmp_path, name
    ):
        frames = [span(10, 20, "forward", cat="python_function")] * 3
        step = span(0, 100, "a step", cat="cpu_op")
        text = json.dumps(document([*frames, step, operation(20, 30)]))
        (path := tmp_path / "a.json").write_text(text.replace("a step", name))
        trace = idlescope.open(path, frames=False)
        assert [trace.names[code] for code in trace.ranges.name] == ["ProfilerStep#7"]

    def test_of_frames_that_are_not_wanted_no_more_is_read_than_when(self):
        frame = json.dumps(span(10, 20, "forward", cat="python_function")).encode()
        (event,) = TypedDecoder(frames=False)(frame).events
        assert event.__struct_fields__ == ("ph", "ts")
        (event,) = TypedDecoder()(frame).events
        assert event.name == "forward"

    def test_an_unknown_category_makes_its_batch_plain(self):
        decoded = TypedDecoder()(SPAN + b"," + OF_ANOTHER_TOOL)
        assert not decoded.typed
        assert [event.cat for event in decoded.events] == ["user_annotation", "my_tool"]

    def test_a_file_of_such_batches_is_not_decoded_twice_for_ever(self, monkeypatch):
        decode = TypedDecoder()
        for _ in range(MISSES_ALLOWED):
            decode(OF_ANOTHER_TOOL)
        monkeypatch.delattr(typed_events, "_decoder")
        assert len(decode(OF_ANOTHER_TOOL).events) == 1

    def test_damage_is_found_at_the_same_byte(self):
        damaged = SPAN + b", {!, " + SPAN
        assert TypedDecoder()(damaged) == decode_list(damaged)

    def test_an_end_that_is_missing_is_told_from_damage(self):
        cut_short = SPAN[:-5]
        assert (
            TypedDecoder()(cut_short)
            == decode_list(cut_short)
            == (None, len(cut_short), False)
        )

    def test_times_of_other_kinds_are_read_as_before(self, tmp_path, monkeypatch):
        events = [
            {**operation(0, 10), "ts": "1.5"},
            {**operation(20, 30), "ts": 2**53 + 1},
            {**operation(40, 50), "dur": None},
        ]
        text = json.dumps(document(events)).encode()
        typed = read_text(tmp_path, text)
        plain_events(monkeypatch)
        assert (
            read_text(tmp_path, text).operations.start.tolist()
            == typed.operations.start.tolist()
        )


class TestTheEndOfAFile:
    @pytest.fixture
    def _no_salvage(self, monkeypatch):
        def refused(self):
            raise AssertionError("sound events were taken apart one by one")

        monkeypatch.setattr(salvage.Salvage, "run", refused)

    @pytest.mark.usefixtures("_no_salvage")
    @pytest.mark.parametrize("indent", [None, 2])
    def test_events_up_to_a_sound_end_are_read_at_once(self, tmp_path, indent):
        events = [{**operation(0, 10), "args": {"of": [{"a": 1}], "device": 0}}] * 2
        whole = document([*events, operation(20, 30)])
        text = json.dumps({**whole, "behind": [{"a": 1}]}, indent=indent)
        assert (
            len(read_text(tmp_path, text.encode()).operations) == 2
        )  # one was written twice

    @pytest.mark.usefixtures("_no_salvage")
    def test_so_are_those_of_a_part(self, tmp_path):
        text = json.dumps(document([operation(0, 10), operation(20, 30)]))
        (path := tmp_path / "a.json").write_text(text)
        first, end = (match.start() for match in re.finditer(r'\{"ph"', text))
        reading = parts.Reading(path, True, False)
        assert parts.read_part(reading, first, end).events == 1

    def test_brackets_that_close_nothing_are_still_counted(self, tmp_path):
        text = json.dumps(document([operation(0, 10), operation(20, 30)]))
        stray = text.replace("}}, {", "}}], {", 1)
        trace = read_text(tmp_path, stray.encode())
        assert len(trace.operations) == 2
        assert "brackets that close nothing" in trace.meta.warnings[0]
