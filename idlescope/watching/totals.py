"""What a watch has counted so far: integers only, which never go down."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from idlescope.analysis.steps.step_kind import STEP_KINDS
from idlescope.trace.table import Int64
from idlescope.watching.state import IDLE_CAUSES

MS = 1_000_000
# Upper bounds of the histograms' buckets, ns: the idle time and the length of one step.
IDLE_BOUNDS = tuple(
    round(ms * MS) for ms in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 500, 1_000)
)
STEP_BOUNDS = tuple(
    round(ms * MS) for ms in (0.5, 1, 2, 5, 7.5, 10, 15, 20, 30, 50, 100, 200, 500, 2_000)
)
MOST_PHASES = 200  # labels of exposed host time; further ones are OTHER_PHASE
OTHER_PHASE = "other"


@dataclass
class Histogram:
    """How many values fell into each bucket, and their sum."""

    bounds: tuple[int, ...]  # upper bounds, ns, inclusive
    counts: list[int] = field(default_factory=list)  # one more: what is above all of them
    sum_ns: int = 0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """Return the number of values."""
        return sum(self.counts)

    def add(self, values: Int64) -> None:
        """Count some values."""
        bucket = np.searchsorted(np.array(self.bounds), values, "left")
        found = np.bincount(bucket, minlength=len(self.counts)).tolist()
        self.counts = [old + new for old, new in zip(self.counts, found, strict=True)]
        self.sum_ns += int(values.sum())


@dataclass
class Totals:
    """All counters of one watch; times in ns."""

    busy_ns: int = 0
    idle_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(IDLE_CAUSES, 0))
    own_idle_ns: int = 0  # of idle, what the watch itself made: CUPTI's part of launches
    host_ns: dict[str, int] = field(default_factory=dict)  # by phase
    communication_ns: int = 0
    steps: dict[str, int] = field(
        default_factory=lambda: {kind.value: 0 for kind in STEP_KINDS}
    )
    tokens: int = 0
    requests: int | None = None  # of the last step
    launched_early: int = 0
    launched_told: int = 0
    launch_latency_ns: int = 0
    launches: int = 0
    idle_per_step: Histogram = field(default_factory=lambda: Histogram(IDLE_BOUNDS))
    step_time: Histogram = field(default_factory=lambda: Histogram(STEP_BOUNDS))

    @property
    def watched_ns(self) -> int:
        """Return the time of the device that is accounted for."""
        return self.busy_ns + sum(self.idle_ns.values())

    def add_host(self, host_ns: dict[str, int]) -> None:
        """Add exposed host time by phase; there is a limit to how many phases are told apart."""
        for label, time_ns in host_ns.items():
            known = label in self.host_ns or len(self.host_ns) < MOST_PHASES
            phase = label if known else OTHER_PHASE
            self.host_ns[phase] = self.host_ns.get(phase, 0) + time_ns
