"""What one device did within a window: idle time, causes, steps, coverage and verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from idlescope.analysis.grouping import by_key
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.communication import Communication
from idlescope.analysis.idle.concentration import Apart, Concentration
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.idle.of_steps import of_steps, outside_pauses, usual_steps
from idlescope.analysis.idle.shared_gpu import SharedGpu
from idlescope.analysis.idle.stacks import LongGap
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import Batching
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.steps.window import Window
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.doubts import Doubts
from idlescope.analysis.verdict.findings import Verdict
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Device, Operations
from idlescope.trace.table import Bool, Int64
from idlescope.trace.unprofiled import UnprofiledStep


class Rest(Struct, frozen=True):
    """What a verdict is on where the beginning of a recording is something else."""

    device: MeasuredDevice  # within the window of the rest
    left_out: str  # how long what is left out takes, and what it is, in words


@dataclass(frozen=True, repr=False)
class MeasuredDevice:
    """What one device did; every figure is defined in `idlescope/analysis/README.md`."""

    view: DeviceView
    window: Window
    occupancy: Occupancy
    communication: Communication
    gaps: Gaps
    min_gap_ns: int  # gaps shorter than this are counted, but not listed
    host_ns: dict[str, int]
    steps: Steps  # of the engine
    empty: Steps  # that scheduled no token: no steps of the engine
    spread: Concentration  # of idle time
    apart: Apart  # which gaps are no cost of a step: pauses, and a lack of requests
    step: Int64  # of each operation; -1: not known
    batching: Batching
    longest: list[LongGap]
    coverage: Coverage
    verdict: Verdict
    streams: list[dict[str, Any]]
    shared: SharedGpu | None  # where other processes use the GPU, too
    doubts: Doubts
    of_rest: Rest | None  # what the verdict is on; None: on the window
    unprofiled: (
        UnprofiledStep | None
    )  # the time of its steps without a profiler; None: not known

    def __repr__(self) -> str:
        name = f"{self.device.index} {self.device.name}".strip()
        return f"device {name}, {self.idle_pct:.2f} % idle, {self.verdict.kind}"

    @property
    def device(self) -> Device:
        """Return the device."""
        return self.view.device

    @property
    def judged_part(self) -> MeasuredDevice:
        """Return the device within the window that its verdict is on."""
        return self if self.of_rest is None else self.of_rest.device

    @property
    def operations(self) -> Operations:
        """Return all operations of the device, sorted by start, then by end."""
        return self.view.operations

    @property
    def launches(self) -> Int64:
        """Return the row of `trace.calls` that launched each operation; -1: not captured."""
        return self.view.launches

    @property
    def waits(self) -> Bool:
        """Return which rows of `trace.calls` wait for a device, of those that its process made."""
        return self.view.waits

    @property
    def idle_pct(self) -> float:
        """Return idle as a share of the window."""
        return percent(self.occupancy.idle_ns, self.occupancy.window_ns)

    @property
    def idle_per_step_ns(self) -> float | None:
        """Return the idle time that one step costs, of what the verdict is on; None without steps.

        Pauses, and idle time for want of requests, are no cost of a step.
        """
        part = self.judged_part
        if not len(part.steps):
            return None
        cost = of_steps(part.gaps, part.host_ns, part.spread)
        return cost.idle_ns / len(part.steps)

    @property
    def usual_steps(self) -> Steps:
        """Return the steps beside which there was neither a pause nor a lack of requests."""
        return usual_steps(self.gaps, self.apart, self.steps)

    @property
    def host_work_ns(self) -> Int64:
        """Return how long the host worked for each step, without what it did in pauses, in ns."""
        return outside_pauses(self.gaps, self.apart, self.steps, self.steps.host)

    def apart_of(self, steps: Steps) -> Int64:
        """Return how much of what the gaps took that steps ended is no cost of them, in ns each."""
        ended = self.gaps.operation >= 0
        of_gap = self.step[self.gaps.operation[ended]]
        by_step, known = by_key(steps.number, of_gap)
        return by_step.total(self.apart.ns[ended][known])

    @property
    def operations_inside(self) -> int:
        """Return how many operations ran within the window, in part at least."""
        return int(self.window.touches(self.operations).sum())

    @property
    def short_gaps(self) -> tuple[int, int]:
        """Return how many gaps are shorter than `min_gap_ns`, and their summed length in ns."""
        length = self.gaps.length
        short = length < self.min_gap_ns
        return int(short.sum()), int(length[short].sum())
