"""What a verdict is, and the figures that it is judged by."""

from __future__ import annotations

from enum import Enum
from functools import cached_property

from msgspec import Struct

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.communication import Communication
from idlescope.analysis.idle.concentration import Apart, Concentration
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.idle.of_steps import StepsIdle, between_pct, of_steps, usual_steps
from idlescope.analysis.idle.shared_gpu import SharedGpu
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import Batching
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.doubts import Doubts
from idlescope.trace.unprofiled import UnprofiledStep

BUSY_IDLE_PCT = 2.0  # idle below this is called busy
MOSTLY_PCT = 50.0  # of idle that decides between readings


class VerdictKind(str, Enum):
    """What a device's figures mean."""

    SYNCHRONOUS = "synchronous"
    ASYNCHRONOUS = "asynchronous"
    HOST_LIMITED = "asynchronous, but the host is the slower side"
    SERIALISED = "serialised"
    LAUNCH_BOUND = "launch-bound"
    COPY_BOUND = "copy-bound"
    COMMUNICATION_BOUND = "communication-bound"
    HOST_BOUND = "host-bound"
    HOST_EXPOSED = "host work exposed"  # the shorter side, but not hidden behind the other
    QUEUE_BOUND = "queue-bound"
    COLD_START = "cold start"
    BUSY = "busy"
    NO_DEMAND = "no demand"
    CANNOT_TELL = "cannot tell"

    def __str__(self) -> str:
        return self.value


CANNOT_TELL = VerdictKind.CANNOT_TELL


class Verdict(Struct, frozen=True):
    """What a device's figures mean: in two sentences what it is, and what to do about it."""

    kind: VerdictKind
    text: str


class Findings(Struct, frozen=True, dict=True):
    """The figures of one device that its verdict is judged by."""

    coverage: Coverage
    occupancy: Occupancy
    communication: Communication
    gaps: Gaps
    host_ns: dict[str, int]  # `host` idle by what the host did, the largest first
    steps: Steps  # of the engine
    empty: Steps  # that scheduled no token
    spread: Concentration
    apart: Apart  # which gaps are no cost of a step
    shared: SharedGpu | None  # where other processes use the GPU, too
    batching: Batching
    unprofiled: UnprofiledStep | None  # None: not known
    eager_ns: int  # idle of eager execution (`eager_idle`)
    doubts: Doubts
    operations: int
    watched: (
        bool  # by a watch, which takes down phases and collections, and nothing in them
    )

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.occupancy.idle_ns, self.occupancy.window_ns)

    @property
    def idle_text(self) -> str:
        """Return that share in words, with its bounds where records are missing."""
        return self.doubts.bounds.text

    @property
    def idle_between_pct(self) -> float:
        """Return idle as a share of the window without its pauses and its lack of requests."""
        return between_pct(self.occupancy, self.spread)

    @cached_property
    def steps_idle(self) -> StepsIdle:
        """Return the idle time without its pauses and its lack of requests."""
        return of_steps(self.gaps, self.host_ns, self.spread)

    @cached_property
    def usual_steps(self) -> Steps:
        """Return the steps beside which there was neither a pause nor a lack of requests."""
        return usual_steps(self.gaps, self.apart, self.steps)

    @property
    def empty_device_ns(self) -> int:
        """Return the time for which the device ran batches of no request."""
        return int(self.empty.device.sum())
