"""Times of CUDA events on the host's clock."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

# How often the GPU's clock is tied to the host's: elapsed times are float32 milliseconds, which are
# exact to 0.1 us for that long.
RENEW_NS = 1_000_000_000
TRIES = 5  # of which the quickest is the most exact


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
        attempts = []
        for _ in range(TRIES):
            timing_event = torch.cuda.Event(enable_timing=True)
            before = time.perf_counter_ns()
            timing_event.record(self._stream)
            timing_event.synchronize()
            after_ns = time.perf_counter_ns()
            attempts.append(
                (after_ns - before, Anchor(timing_event, (before + after_ns) // 2))
            )
        _, anchor = min(attempts, key=lambda attempt: attempt[0])
        return anchor


class Between(NamedTuple):
    """Two timed events of a stream, around what was issued between them."""

    anchor: Anchor
    first: torch.cuda.Event
    last: torch.cuda.Event

    def span(self) -> tuple[int, int]:
        """Return when both happened, as time.perf_counter_ns would have had it; both must have."""
        return self.anchor.at(self.first), self.anchor.at(self.last)


class StreamTimer:
    """Times what another program issues to a stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.clock = CudaClock()
        self._stream = stream
        self._first = torch.cuda.Event(enable_timing=True)

    def begin(self) -> None:
        """Note that it begins with what is issued next; again: only with that."""
        self._first.record(self._stream)

    def end(self) -> Between:
        """Note that it has all been issued."""
        end_event = torch.cuda.Event(enable_timing=True)
        end_event.record(self._stream)
        between = Between(self.clock.newest, self._first, end_event)
        self._first = torch.cuda.Event(enable_timing=True)
        return between
