"""Requests with prompts of given lengths, and a scheduler in which they wait."""

from __future__ import annotations

import numpy as np

from idlescope.engine.requests import Request
from idlescope.engine.scheduler import Scheduler


def requests(*lengths, tokens=8, **options):
    return [
        Request(index, np.arange(length, dtype=np.int32) % 50, tokens, **options)
        for index, length in enumerate(lengths)
    ]


def scheduler_with(shape, *lengths, **options):
    """A scheduler in which requests with prompts of these lengths wait."""
    scheduler = Scheduler(shape)
    for request in requests(*lengths, **options):
        scheduler.add(request)
    return scheduler
