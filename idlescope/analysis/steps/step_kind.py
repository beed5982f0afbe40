"""What a step computes: prompts, decodes, both, or nothing for any request."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.steps.stated_names import StatedWork, parse
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Ranges
from idlescope.trace.table import Int64


class StepKind(str, Enum):
    """What a step computes; equal to, hashed and written as its value."""

    UNKNOWN = "not told"
    PREFILL = "prefill"
    DECODE = "decode"
    MIXED = "mixed"  # prompts and decodes in one forward pass
    # No token was scheduled: no work for a request, though the device may compute a dummy batch.
    EMPTY = "empty"

    __str__ = str.__str__
    __hash__ = str.__hash__

    code: int  # the number that stands for the kind in columns


STEP_KINDS = tuple(StepKind)
for _code, _kind in enumerate(STEP_KINDS):
    _kind.code = _code


def stated_kinds(names: Sequence[str], spans: Ranges, steps: Ranges) -> Int64:
    """Return the kind of each step that the names of the spans in it state, as codes.

    `steps` are sorted by start and do not overlap.
    """
    codes = np.full(len(steps), StepKind.UNKNOWN.code, np.int64)
    work_of_name = {
        name: work
        for name in distinct(spans.name).tolist()
        if (work := parse(names[name])) is not None
    }
    if not work_of_name or not len(steps):
        return codes
    spans = spans.take(np.isin(spans.name, list(work_of_name)))
    row = np.searchsorted(steps.start, spans.start, "right") - 1
    inside = (row >= 0) & (spans.start < steps.end[row])

    # A step may have several such spans, of a draft and of the model.
    stated = [_stated_kind(work_of_name[name]).code for name in spans.name[inside].tolist()]
    kind = np.array(stated, np.int64)
    by_step = Groups(row[inside], len(steps))
    has = {sort: by_step.only(kind == sort.code).occupied() for sort in StepKind}
    codes[has[StepKind.EMPTY]] = StepKind.EMPTY.code
    codes[has[StepKind.UNKNOWN]] = StepKind.UNKNOWN.code
    codes[has[StepKind.DECODE]] = StepKind.DECODE.code
    codes[has[StepKind.PREFILL]] = StepKind.PREFILL.code
    both = has[StepKind.PREFILL] & has[StepKind.DECODE]
    codes[both | has[StepKind.MIXED]] = StepKind.MIXED.code
    return codes


def _stated_kind(work: StatedWork) -> StepKind:
    """Return the kind of a step of stated work."""
    if min(work.prompts, work.decodes) < 0:
        return StepKind.UNKNOWN
    if work.prompts:
        return StepKind.MIXED if work.decodes else StepKind.PREFILL
    return StepKind.DECODE if work.decodes else StepKind.EMPTY
