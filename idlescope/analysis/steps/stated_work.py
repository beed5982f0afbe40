"""How much each step had to do, as the names of its spans or the user say."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.stated_names import NOT_KNOWN, StatedWork, parse
from idlescope.trace.distinct import distinct
from idlescope.trace.model import RangeKind
from idlescope.trace.table import Bool, Int64


class Architecture(Protocol):
    """What of a model a roofline needs (`models.architecture.Model`)."""

    @property
    def name(self) -> str:
        """Return what the model is called."""

    def step_bytes(self, context: int) -> int:
        """Return the fewest bytes a step must move, for so many cached tokens over the batch."""

    def step_flops(self, tokens: int, sampled: int, pairs: int) -> float:
        """Return the floating-point operations of a step."""


class Work(Struct, frozen=True):
    """The work of each step, with the columns of `StatedWork`; -1 where it is not known."""

    sampled: Int64
    tokens: Int64
    context: Int64
    pairs: Int64

    @property
    def known(self) -> Bool:
        """Return for which steps it is known how many tokens they worked on."""
        return np.asarray(self.tokens > 0, np.bool_)


def steps_work(
    device: MeasuredDevice, batch_size: int | None = None, context: int | None = None
) -> Work | None:
    """Return what each step had to do; None where neither span names nor the user say.

    `batch_size` requests decode in each step whose spans say nothing, with `context` cached tokens
    each.
    """
    columns = _stated(device)
    if batch_size is not None:
        tokens_unknown = columns[:, 1] < 0
        columns[tokens_unknown, :2] = batch_size
    sampled, tokens, cached, pairs = columns.T[:4]
    if not (tokens > 0).any():
        return None
    if context is not None:
        cached = np.where(cached < 0, sampled * context, cached)
    one_query_per_request = tokens == sampled
    pairs = np.where((pairs < 0) & one_query_per_request, cached, pairs)
    return Work(sampled, tokens, cached, pairs)


def _stated(device: MeasuredDevice) -> Int64:
    """Return what span names say of each step: a row per step, with the columns of `StatedWork`."""
    trace, steps = device.view.trace, device.steps
    columns = np.full((len(steps), len(StatedWork._fields)), NOT_KNOWN, np.int64)
    ranges = trace.ranges.take(trace.ranges.kind == RangeKind.ANNOTATION)
    ranges = ranges.take(trace.threads_of(device.view.process)[ranges.thread])
    work_of_name = {
        name: work
        for name in distinct(ranges.name).tolist()
        if (work := parse(trace.names[name])) is not None
    }
    ranges = ranges.take(np.isin(ranges.name, list(work_of_name)))
    step_row = np.searchsorted(steps.start, ranges.start, "right") - 1
    for name, row in zip(ranges.name.tolist(), step_row.tolist(), strict=True):
        if row >= 0:
            columns[row] = work_of_name[name]
    return columns
