"""When timed events happened, on the host's clock, without waiting for anything of the engine's."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from idlescope.watching.ways.cuda_calls import CudaCalls

# How often the device's clock is tied to the host's: elapsed times are float32 milliseconds, exact
# to 0.1 us for about that long.
RENEW_NS = 1_000_000_000
# How long an event on a stream of its own may take, and this thread to notice; beyond it, it stood
# behind others' work (as with CUDA_DEVICE_MAX_CONNECTIONS=1), or the thread without a processor or
# the interpreter's lock, and nothing says when it happened.
LONGEST_NS = 100_000
TRIES = 3  # of which the quickest is the most exact
# After so many renewals in vain, an event may take longer: how idle the device was is right with
# any anchor, only what the host did meanwhile is as uncertain as the anchor. An old anchor is
# better for minutes: the clocks drift apart by 1.5 us per second (H200).
IN_VAIN_AT_FIRST = 3
IN_VAIN = 100
PATIENT_NS = 50_000_000
PATIENT_PAUSE_S = 0.0005


class Anchor(NamedTuple):
    """A timed event that has happened, and when: ns of time.perf_counter_ns."""

    event: Any
    host_ns: int
    uncertain_ns: int  # it happened within so much of `host_ns`, on either side

    def time_of(self, event: Any) -> int:
        """Return when another event happened, on the host's clock."""
        return self.host_ns + round(1e6 * self.event.elapsed_time(event))


class EventClock:
    """Ties the device's clock to the host's, by events on a stream that has nothing else to do."""

    def __init__(self, calls: CudaCalls, longest_ns: int = LONGEST_NS) -> None:
        self._calls = calls
        self._longest_ns = longest_ns
        self._stream = calls.own_stream()
        self._events = [calls.event() for _ in range(TRIES + 2)]
        self.anchor: Anchor | None = None
        self._tried_ns = 0
        self._in_vain = 0  # renewals since the last good one

    def keep(self) -> Anchor | None:
        """Return the newest anchor, which is renewed where it is old; None: there is none yet."""
        now = time.perf_counter_ns()
        if self.anchor is None or now - self._tried_ns >= RENEW_NS:
            self._tried_ns = now
            self._renew()
        return self.anchor

    def _renew(self) -> None:
        """Make a new anchor, unless the device let every try wait."""
        used = None if self.anchor is None else self.anchor.event
        free_events = [event for event in self._events if event is not used]
        attempts = [self._attempt(event) for event in free_events[:TRIES]]
        made = [anchor for anchor in attempts if anchor is not None]
        self._in_vain += 1
        most_in_vain = IN_VAIN_AT_FIRST if self.anchor is None else IN_VAIN
        if not made and self._in_vain > most_in_vain:
            patient = self._patient_attempt(free_events[-1])
            made = [] if patient is None else [patient]
        if made:
            self._in_vain = 0
            self.anchor = min(made, key=lambda anchor: anchor.uncertain_ns)

    def _attempt(self, event: Any) -> Anchor | None:
        """Record an event and ask until it has happened; None: it is not known well when."""
        begin_ns = end_ns = time.perf_counter_ns()
        event.record(self._stream)
        while end_ns - begin_ns < self._longest_ns:
            happened = event.query()
            end_ns = time.perf_counter_ns()
            if happened:
                half = (end_ns - begin_ns) // 2
                is_exact = 2 * half < self._longest_ns
                return Anchor(event, begin_ns + half, half) if is_exact else None
        return None

    def _patient_attempt(self, event: Any) -> Anchor | None:
        """Record an event and look for it from time to time; it is not known well when it was."""
        begin_ns = last_ns = time.perf_counter_ns()
        event.record(self._stream)
        while last_ns - begin_ns < PATIENT_NS:
            time.sleep(PATIENT_PAUSE_S)
            happened = event.query()
            last_ns = time.perf_counter_ns()
            if happened:
                return Anchor(event, last_ns, last_ns - begin_ns)
        return None
