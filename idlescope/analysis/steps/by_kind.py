"""What prefill, decode and mixed steps cost, each for themselves: one average hides them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.trace.table import Bool


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


def by_kind(steps: Steps, empty: Steps) -> list[KindFigures]:
    """Return the figures of each kind of step; [] where no step says its kind.

    `steps` are those of the engine, `empty` those that scheduled no token.
    """
    figures = []
    for kind in STEP_KINDS:
        rows = steps.kind == kind.code
        if rows.any():
            figures.append(_figures(kind, steps, rows))
    if [figure.kind for figure in figures] == [StepKind.UNKNOWN]:
        figures = []
    if len(empty):
        figures.append(_figures(StepKind.EMPTY, empty, empty.kind == StepKind.EMPTY.code))
    return figures


def _figures(kind: StepKind, steps: Steps, rows: Bool) -> KindFigures:
    host, device, idle = (
        round(float(np.mean(column[rows])))
        for column in (steps.host, steps.device, steps.idle)
    )
    return KindFigures(kind, int(rows.sum()), device + idle, host, device, idle)
