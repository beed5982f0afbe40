"""Which steps stand for all: a few in a row that took as long as most."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.steps.measure import Steps

STEPS_SHOWN = 3
AS_USUAL = 0.05  # a stretch whose length differs by no more than this from the median


def typical_steps(steps: Steps, low: int, high: int) -> tuple[int, int] | None:
    """Return from when to when three typical steps in a row ran, of those begun in [low, high).

    Times in ns. Of the stretches of about the usual length it is the one nearest the middle. None
    where there are too few steps.
    """
    begun = np.sort(steps.start[(steps.start >= low) & (steps.start < high)])
    if begun.size <= STEPS_SHOWN:
        return None
    first, after_last = begun[:-STEPS_SHOWN], begun[STEPS_SHOWN:]
    length = after_last - first
    unusual = np.abs(length - np.median(length))
    most_allowed = max(AS_USUAL * float(np.median(length)), float(unusual.min()))
    usual = np.flatnonzero(unusual <= most_allowed)

    # the one whose middle is nearest that of the whole
    from_middle = np.abs(first[usual] + after_last[usual] - (low + high))
    chosen = usual[from_middle.argmin()]
    return int(first[chosen]), int(after_last[chosen])
