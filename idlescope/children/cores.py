"""How many cores this process may use: what the machine has, as far as it is given them."""

from __future__ import annotations

import math
import os
from contextlib import suppress

VARIABLE = "IDLESCOPE_JOBS"  # processes at once; what the system gives, where it is not set
_QUOTA = "/sys/fs/cgroup/cpu.max"  # of a container, cgroup v2: "200000 100000" is two cores
_QUOTA_V1 = "/sys/fs/cgroup/cpu/cpu.cfs_{}_us"


def usable_cores() -> int:
    """Return how many processes may compute at once: what was asked for, else the cores.

    The cores are those that this process may run on, and no more than its container's share.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _container_share() or cores))


def one_blas_thread() -> None:
    """Have numpy, which is imported later, start no threads for linear algebra: none is done.

    It starts one per core in every process: on 16 cores that took more CPU time than the analysis.
    Who sets the variable is heard.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def allow(jobs: int) -> None:
    """Have this process, and those that it starts, compute with so many processes at once."""
    os.environ[VARIABLE] = str(jobs)


def _container_share() -> int | None:
    """Return the cores that a container gives; None where it sets no limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = _read(_QUOTA).split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us, period_us = (
            int(_read(_QUOTA_V1.format(part))) for part in ("quota", "period")
        )
        return math.ceil(quota_us / period_us) if quota_us > 0 else None
    return None


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
