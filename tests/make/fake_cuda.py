"""A CUDA device that computes nothing: streams that are busy for a while, and events on them."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np


class FakeStream:
    """Runs what is issued to it one after the other."""

    def __init__(self, stream_id: int):
        self.stream_id = stream_id
        self.busy_until = 0

    def issue(self, busy_ns: int) -> tuple[int, int]:
        """Issue work; return when it truly begins and ends, ns of perf_counter."""
        start = max(time.perf_counter_ns(), self.busy_until)
        self.busy_until = start + busy_ns
        return start, self.busy_until


class FakeEvent:
    """A timed event, on a clock that counts from another zero and a little faster."""

    def __init__(self, calls: FakeCuda):
        self._calls = calls
        self.happens_ns = None

    def record(self, stream: FakeStream) -> None:
        assert not self._calls.is_capturing, "it would become part of the graph"
        self.happens_ns = max(time.perf_counter_ns(), stream.busy_until)
        self._calls.recorded += 1

    def query(self) -> bool:
        self._calls.asked += 1
        assert self._calls.beside, "it would break a capture of another thread"
        return time.perf_counter_ns() >= self.happens_ns

    def elapsed_time(self, other: FakeEvent) -> float:
        """Return milliseconds as CUDA does: in 32 bits."""
        return float(np.float32((other.happens_ns - self.happens_ns) / 1e6))

    def synchronize(self) -> None:
        raise AssertionError("a watch never waits for the device")


class FakeCuda:
    """What `CudaCalls` is, without a device."""

    def __init__(self, index: int = 0):
        self.index = index
        self.current = FakeStream(7)
        self.own = FakeStream(99)
        self.is_capturing = False
        self.beside = False  # whether this thread may ask about events
        self.recorded = self.asked = 0
        self.record, self.elapsed_ms = FakeEvent.record, FakeEvent.elapsed_time

    def name(self) -> str:
        return "a fake"

    def identity(self) -> str:
        return "GPU-0"

    def capturing(self) -> bool:
        return self.is_capturing

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    def stream(self) -> FakeStream:
        return self.current

    def own_stream(self) -> FakeStream:
        return self.own

    @contextmanager
    def beside_captures(self):
        self.beside = True
        yield
        self.beside = False
