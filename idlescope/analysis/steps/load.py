"""What the steps of a device had to do for requests, as the names of their spans say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.stated_work import steps_work
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.trace.table import Int64

TOLD = 0.9  # of the steps, of which spans say what they had to do


def requests_of_steps(device: MeasuredDevice) -> Int64 | None:
    """Return how many requests each step served; None where that is not told of most.

    A step whose span the recording cuts off is taken for a usual one.
    """
    work = steps_work(device)
    if work is None or work.known.mean() < TOLD:
        return None
    usual = np.int64(np.median(work.sampled[work.known]))
    return np.where(work.known, work.sampled, usual)


def mean_requests(device: MeasuredDevice) -> float | None:
    """Return how many requests a step serves in the mean; None where it is not told of most."""
    requests = requests_of_steps(device)
    return None if requests is None else round(float(requests.mean()), 4)


def prompt_pct(device: MeasuredDevice) -> float | None:
    """Return the share of the steps that compute a prompt; None where it is not told of most."""
    return share_of_prompts([STEP_KINDS[code] for code in device.steps.kind.tolist()])


def share_of_prompts(kinds: Sequence[str]) -> float | None:
    """Return the same of steps of some kinds."""
    told = [kind for kind in kinds if kind != StepKind.UNKNOWN]
    if not told or len(told) < TOLD * len(kinds):
        return None
    prompts = sum(kind in (StepKind.PREFILL, StepKind.MIXED) for kind in told)
    return percent(prompts, len(told))
