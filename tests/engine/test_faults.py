"""Whatever fails in the engine, and whenever: one sentence, no step in flight, no block taken, no hang."""

from __future__ import annotations

import errno
import itertools
import sys
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlescope.analysis.analyze import analyze
from idlescope.capture import spilled, step_clock
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.loop import Engine
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import EngineError
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.recording import files
from tests.make.deep import of
from tests.make.engine_faults import failing

SHAPE = Shape(rows=4, tokens=32, length=40, blocks=24, block_size=4)
# where something can go wrong: owner and method
PLACES = (
    ("scheduler", "schedule"), ("scheduler", "update"), ("device", "submit"), ("device", "finish"), ("recorder", "phase"),
    ("recorder", "operations"), ("recorder", "counters"), ("recorder", "wait"), ("engine", "emit"), ("slot", "fill"),
)  # fmt: skip
ERRORS = (
    partial(RuntimeError, "out of luck"),
    MemoryError,
    partial(OSError, errno.ENOSPC, "No space left on device"),
    KeyboardInterrupt,
)


def started(depth, count, arrivals=0):
    device = ModelledDevice(gpu("h200"), model("tiny"), host_ns=1_000_000)
    slots = device.open(SHAPE, depth)
    recorder = StepClock(device.clock.now)
    requests = [
        Request(
            number,
            np.arange(3, 3 + 4 + number % 5),
            5 + number % 9,
            arrival_ns=number * arrivals,
        )
        for number in range(count)
    ]
    return Engine(device, slots, requests, recorder), requests


def outcome(engine):
    """Run; return what is said in the end, nothing where all requests ended."""
    try:
        engine.run()
    except EngineError as failure:
        return str(failure)
    except KeyboardInterrupt:
        return "interrupted"
    return ""


@settings(max_examples=of(20, deep=60))
@given(
    st.sampled_from(PLACES), st.integers(1, 25), st.sampled_from(ERRORS), st.sampled_from([1, 2]), st.integers(1, 9),
    st.sampled_from([0, 3_000_000]),
)  # fmt: skip
def test_a_fault_anywhere_leaks_nothing_and_is_one_sentence(
    place, calls, error, depth, count, arrivals
):
    engine, _ = started(depth, count, arrivals)
    with failing(engine, place, calls, error):
        said = outcome(engine)
    if error is KeyboardInterrupt:
        assert said in ("", "interrupted")
    else:
        assert not said or (said.startswith("step ") and "\n" not in said)
    assert not engine.in_flight
    assert engine.scheduler.allocator.free == SHAPE.blocks


@settings(max_examples=of(15, deep=40))
@given(st.data())
def test_requests_cancelled_at_random_leak_nothing(data):
    engine, requests = started(data.draw(st.sampled_from([1, 2])), 8)
    doomed = data.draw(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 7)), max_size=8)
    )

    def cancel(running):
        for step, number in doomed:
            if running.steps == step and requests[number].finish is None:
                running.scheduler.cancel(requests[number], running.clock.now())

    engine.run(cancel)
    assert all(request.finish is not None for request in requests)
    assert not engine.in_flight
    assert engine.scheduler.allocator.free == SHAPE.blocks


def test_ctrl_c_anywhere_leaves_whole_rows():
    """Whatever line of taking down it comes at: the run is kept up to there."""
    for last in range(5, 1_500, 37):
        engine, _ = started(2, 3)
        lines = itertools.count()

        def interrupt(frame, event, argument, lines=lines, last=last):
            if frame.f_code.co_filename != step_clock.__file__:
                return None
            if event == "line" and next(lines) == last:
                raise KeyboardInterrupt
            return interrupt

        sys.settrace(interrupt)
        try:
            with suppress(KeyboardInterrupt):
                engine.run()
        finally:
            sys.settrace(None)
        operations = engine.recorder.trace("h200", Metadata()).operations
        assert len(operations.flops) == len(operations)


class TestSpilled:
    def test_what_was_spilled_is_in_the_trace_as_if_it_had_not_been(self, monkeypatch):
        traces = []
        for most in (1 << 16, 50):
            monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", most)
            monkeypatch.setattr("idlescope.capture.step_clock.VALUES_IN_MEMORY", most)
            engine, requests = started(2, 9)
            engine.run()
            engine.recorder.requests(requests)
            assert len(engine.recorder._operations) < 50 + 60 or most > 50
            traces.append(engine.recorder.trace("h200", Metadata()))
        one, other = traces
        for table in ("operations", "calls", "ranges", "counters"):
            assert getattr(one, table).to_frame().equals(getattr(other, table).to_frame())

    def test_a_run_of_the_collector_while_rows_go_to_a_file_loses_none(self, monkeypatch):
        monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", 10)
        rows = spilled.Spilled("q", 2)
        write = spilled.os.write

        def writing(descriptor, content):
            rows.recent.extend((7, 8))  # as the callback of the collector does
            return write(descriptor, content)

        monkeypatch.setattr(spilled.os, "write", writing)
        rows.recent.extend(range(20))
        rows.spill()
        monkeypatch.undo()
        assert len(rows) == 11
        assert rows.column(0).tolist() == [*range(0, 20, 2), 7]

    @pytest.mark.parametrize("after", ["half of it", "the write"])
    def test_ctrl_c_amid_it_loses_no_row_and_doubles_none(self, monkeypatch, after):
        monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", 10)
        rows = spilled.Spilled("q", 2)
        rows.recent.extend(range(20))
        rows.spill()
        write = spilled.os.write

        def interrupted(descriptor, content):
            write(descriptor, content[: 40 if after == "half of it" else None])
            raise KeyboardInterrupt

        monkeypatch.setattr(spilled.os, "write", interrupted)
        rows.recent.extend(range(20, 40))
        with pytest.raises(KeyboardInterrupt):
            rows.spill()
        monkeypatch.undo()
        rows.recent.extend((40, 41))  # requests that have ended, for instance
        assert rows.column(0).tolist() == [*range(0, 42, 2)]
        assert len(rows) == 21

    def test_columns_of_a_long_run_are_mapped_and_written_in_pieces(
        self, monkeypatch, tmp_path
    ):
        whole, pieces = tmp_path / "whole", tmp_path / "pieces"
        for most, folder in ((1 << 16, whole), (50, pieces)):
            monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", most)
            monkeypatch.setattr("idlescope.capture.step_clock.VALUES_IN_MEMORY", most)
            engine, _ = started(2, 9)
            engine.run()
            trace = engine.recorder.trace("h200", Metadata())
            assert trace.operations.start.flags.writeable == (most > 50)
            files.write(trace, folder)
            analyze(trace)
        for path in whole.iterdir():
            assert path.read_bytes() == (pieces / path.name).read_bytes()

    def test_a_full_disk_is_one_sentence(self, monkeypatch):
        monkeypatch.setattr(spilled, "VALUES_IN_MEMORY", 50)
        monkeypatch.setattr("idlescope.capture.step_clock.VALUES_IN_MEMORY", 50)

        def full(**_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(spilled.tempfile, "TemporaryFile", full)
        engine, _ = started(2, 9)
        with pytest.raises(EngineError, match=r"step \d+ failed: OSError: .*No space left"):
            engine.run()
        assert engine.scheduler.allocator.free == SHAPE.blocks
