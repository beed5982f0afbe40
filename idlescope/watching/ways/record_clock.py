"""The clock of CUPTI's records, tied to the host's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from idlescope.trace.table import Int64

TRIES = 3  # of which the quickest is the most exact
# Where reading both clocks took longer, this thread stood still in between, waiting for a processor
# or the interpreter's lock: the ties before say more.
LONGEST_NS = 50_000
TIES = 16  # kept: records come within a few seconds
# Ties that lie closer say nothing of the rate: each is exact to a few microseconds.
APART_NS = 100_000_000
NEAR_NS = 60_000_000_000  # of a clock that counts ns as the host's do


class RecordClock:
    """Turns times of records into times of the host's clock.

    It is linear from tie to tie: the records' clock may be set (CUPTI reads CLOCK_REALTIME), or
    count in another unit since a profiler gave CUPTI a clock of its own.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._ties: deque[tuple[int, int]] = deque(maxlen=TIES)  # record clock, host clock
        self.tie()

    def is_known(self) -> bool:
        """Return whether the rate is known: after two ties, or at once where it counts ns."""
        return len(self._ties) > 1 or self._counts_ns()

    def tie(self) -> None:
        """Read both clocks at once: several times a second, and after records were taken."""
        attempts = []
        for _ in range(TRIES):
            before = time.perf_counter_ns()
            record_ns = self._now()
            after = time.perf_counter_ns()
            attempts.append((after - before, record_ns, (before + after) // 2))
        took_ns, record_ns, host_ns = min(attempts)
        if self._ties and took_ns > LONGEST_NS:
            return
        if self._ties and record_ns <= self._ties[-1][0]:
            self._ties.clear()  # it was set back: what lies before cannot be told apart
        if not self._ties or host_ns - self._ties[-1][1] >= APART_NS:
            self._ties.append((record_ns, host_ns))

    def _counts_ns(self) -> bool:
        """Return whether the last tie is near one of the host's own clocks."""
        record_ns = self._ties[-1][0]
        since_tie = time.perf_counter_ns() - self._ties[-1][1]
        clocks = (time.time_ns(), time.perf_counter_ns())
        return any(abs(clock - since_tie - record_ns) < NEAR_NS for clock in clocks)

    def host(self, record_ns: Int64) -> Int64:
        """Return these times on the host's clock."""
        # Differences to the first tie are small enough for floats to be exact.
        first_record, first_host = self._ties[0]
        elapsed = record_ns - first_record
        if len(self._ties) == 1:
            return first_host + elapsed
        ties = np.array(self._ties, np.int64) - self._ties[0]
        tie_record, tie_host = ties.astype(np.float64).T

        # Before the first tie and behind the last, their rates go on.
        segment = np.searchsorted(tie_record, elapsed) - 1
        segment = np.clip(segment, 0, tie_record.size - 2)
        rate = np.diff(tie_host) / np.diff(tie_record)
        since_tie = elapsed - tie_record[segment]
        host_elapsed = tie_host[segment] + since_tie * rate[segment]
        return first_host + np.rint(host_elapsed).astype(np.int64)
