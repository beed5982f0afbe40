"""What the host did in all idle time of a device."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.host_time import divide_by


def divide(view, gaps):
    """Return the nanoseconds of each label, over all gaps."""
    one_group = Groups(np.zeros(len(gaps), np.int64), 1)
    return {label: int(ns[0]) for label, ns in divide_by(view, gaps, one_group).items()}
