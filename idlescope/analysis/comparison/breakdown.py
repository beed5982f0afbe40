"""Where the time of one recording went: what a comparison works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from idlescope.trace.table import Float64

# Names of parts: what the device computed, copied, and why it was idle.
# Compute is without the time in which only communication runs, which is of a part of its own.
COMPUTE, COMMUNICATION, COPIES = "compute", "exposed communication", "copies only"
IDLE_PREFIX = "idle: "  # before each cause
HOST_PREFIX = f"{IDLE_PREFIX}host: "  # before each division of idle that the host caused
# What is no cost of a step; of a window alone, it is one of the parts.
APART = f"{IDLE_PREFIX}pauses, no demand"
# Names of host work, hidden behind the device or not: in all, and by phase.
HOST_WORK = "host work"
PHASE_PREFIX = f"{HOST_WORK}: "

_MODELLED_NAME = "modelled "  # how the name of a modelled device begins


@dataclass(frozen=True)
class Breakdown:
    """Where the time of one recording went.

    Columns have one row per block, a stretch of steps; a single row where it is not known when the
    parts came. The parts and `apart` add up to the window: device compute, copies alone, and idle
    by cause, with `host` divided further. Of several devices, parts and steps are summed.
    """

    path: str
    device_name: str
    model: str  # "" where it is not known
    modelled: bool
    batching: (
        str  # "synchronous", "asynchronous", "serialised" or what else the analysis says
    )
    doubts: tuple[str, ...]  # why nothing can be concluded from it
    warnings: tuple[str, ...]  # of its analysis
    parts: Mapping[str, Float64]  # ns
    apart: Float64  # ns of pauses, and of idle for want of requests: no cost of a step
    host_work: Mapping[str, Float64]  # ns in which the host worked: in all, and by phase
    steps: Float64  # 0 where they are not known
    tokens: Float64  # 0 where they are not known
    prompt_pct: float | None = None  # of the steps, that compute a prompt; None: not told
    recorded_by: str = ""  # what made it, in words; "" where that is not known

    @property
    def blocks(self) -> int:
        """Return how many blocks the recording is divided into."""
        return self.steps.size

    @property
    def window(self) -> Float64:
        """Return the length of each block, in ns."""
        return self.at_work + self.apart

    @property
    def at_work(self) -> Float64:
        """Return the length of each block without what is no cost of a step, in ns."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0), np.float64)

    @property
    def step_count(self) -> float:
        """Return how many steps the recording has; 0 where they are not known."""
        return float(self.steps.sum())

    @property
    def token_count(self) -> float:
        """Return how many tokens the recording gave out; 0 where they are not known."""
        return float(self.tokens.sum())


def is_modelled(device_name: str, measured: bool | None) -> bool:
    """Return whether a device was modelled: by the metadata, or by its name.

    A conversion to another format keeps only the name.
    """
    return measured is False or device_name.startswith(_MODELLED_NAME)
