"""What prefill, decode and mixed steps cost, each for themselves: one average hides them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.trace.table import Int64


class KindFigures(NamedTuple):
    """The figures of the steps of one kind; times are means per step, in ns."""

    kind: StepKind
    steps: int
    step_ns: int  # device work and exposed idle
    host_ns: int
    device_ns: int
    idle_ns: int

    @property
    def idle_pct(self) -> float:
        """Return exposed idle as a share of the time of a step."""
        return percent(self.idle_ns, self.step_ns)


def by_kind(measured: MeasuredDevice) -> list[KindFigures]:
    """Return the figures of each kind of step; [] where no step says its kind.

    Pauses, and idle time for want of requests, are no cost of a step of any kind that the engine
    ran for requests.
    """
    steps, empty = measured.steps, measured.empty
    idle = steps.idle - measured.apart_of(steps)
    host = measured.host_work_ns
    figures = []
    for kind in STEP_KINDS:
        rows = steps.kind == kind.code
        if rows.any():
            figures.append(_means(kind, host[rows], steps.device[rows], idle[rows]))
    if [figure.kind for figure in figures] == [StepKind.UNKNOWN]:
        figures = []
    if len(empty):
        figures.append(_means(StepKind.EMPTY, empty.host, empty.device, empty.idle))
    return figures


def _means(kind: StepKind, *columns: Int64) -> KindFigures:
    host, device, idle = (round(float(np.mean(column))) for column in columns)
    return KindFigures(kind, columns[0].size, device + idle, host, device, idle)
