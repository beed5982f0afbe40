"""Times of CUDA events on the host's clock."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

RENEW_NS = 1_000_000_000  # how often the GPU's clock is tied to the host's: float32 milliseconds stay exact to 0.1 us
TRIES = 5


class Anchor(NamedTuple):
    """A timed event that has happened, and when."""

    event: torch.cuda.Event
    host_ns: int  # time.perf_counter_ns

    def at(self, event: torch.cuda.Event) -> int:
        """Return when another event happened, as time.perf_counter_ns would have had it."""
        return self.host_ns + round(1e6 * self.event.elapsed_time(event))


class CudaClock:
    """Ties the GPU's clock to the host's, by events on a stream that has nothing else to do."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self.newest = self._anchor()

    def keep(self) -> None:
        """Make a new anchor where the newest is old: from time to time."""
        if time.perf_counter_ns() - self.newest.host_ns > RENEW_NS:
            self.newest = self._anchor()

    def _anchor(self) -> Anchor:
        tries = []
        for _ in range(TRIES):
            event = torch.cuda.Event(enable_timing=True)
            before = time.perf_counter_ns()
            event.record(self._stream)
            event.synchronize()
            after = time.perf_counter_ns()
            tries.append((after - before, Anchor(event, (before + after) // 2)))
        return min(tries, key=lambda t: t[0])[1]
