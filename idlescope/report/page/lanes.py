"""The lanes of a timeline: what the host and each kind of work on the device did, and the gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.palette import CAUSE, OPERATION, WITHOUT_DEMAND
from idlescope.report.page.host_lanes import CALLS, HOST, host_lanes
from idlescope.report.page.lane import Lane
from idlescope.report.work_line import WorkLine
from idlescope.trace.model import OperationKind
from idlescope.trace.names.calls import matching
from idlescope.trace.table import Int64

GAPS = "gaps"
OF_DEVICE = ("H2D", "compute", "D2H", "other copies")
LABELS = (HOST, CALLS, *OF_DEVICE, GAPS)  # top to bottom
# How copies of each direction are named in traces.
COPY_NAMES = {
    "H2D": re.compile("HtoD|HostToDevice"),
    "D2H": re.compile("DtoH|DeviceToHost"),
}


def lanes(line: WorkLine) -> list[Lane]:
    """Return a device's lanes, of LABELS, top to bottom: those that hold anything in the window.

    The host is the thread that made most launches of the device's operations.
    """
    every_lane = [*host_lanes(line), *_operation_lanes(line), _gap_lane(line)]
    return [lane for lane in every_lane if lane.start.size]


def _operation_lanes(line: WorkLine) -> Iterator[Lane]:
    """Yield the lanes between the host's and the gaps': copies by direction, and compute."""
    trace_names, result = line.trace.names, line.result
    in_window = result.window.touches(result.operations)
    operations = result.operations.take(in_window)
    operation_step = result.step[in_window].astype(np.int64)

    compute = is_compute(operations)
    is_copy = operations.kind == OperationKind.MEMCPY
    copies_in = is_copy & matching(COPY_NAMES["H2D"], trace_names)[operations.name]
    copies_out = is_copy & matching(COPY_NAMES["D2H"], trace_names)[operations.name]
    other_kinds = ~(copies_in | compute | copies_out)
    for lane_label, in_lane in zip(
        OF_DEVICE, (copies_in, compute, copies_out, other_kinds), strict=True
    ):
        lane_operations = operations.take(in_lane)
        colour = OPERATION.get(lane_label, OPERATION["copy"])
        yield Lane(
            label=lane_label,
            start=lane_operations.start,
            end=lane_operations.end,
            name=lane_operations.name.astype(np.int64),
            step=operation_step[in_lane],
            texts=trace_names,
            colours=[colour] * len(trace_names),
        )


def _gap_lane(line: WorkLine) -> Lane:
    """Return the parts of each gap as time passes: first the host's, then what waits."""
    result = line.result
    gap_index, cause_code, gap_part = result.gaps.parts()
    # A host part of which most is want of requests is drawn as that.
    no_demand = 2 * result.gaps.no_demand > result.gaps.host
    is_host = cause_code == CAUSES.index("host")
    cause_code = np.where(is_host & no_demand[gap_index], len(CAUSES), cause_code)
    ending_operation = result.gaps.operation[
        gap_index
    ]  # -1, the appended entry: nothing ended it

    def of_operation(column: NDArray[np.integer], none: int) -> Int64:
        return np.append(column, none)[ending_operation]

    return Lane(
        label=GAPS,
        start=gap_part.start,
        end=gap_part.end,
        name=cause_code,
        step=of_operation(result.step, -1),
        texts=(*CAUSES, NO_DEMAND),
        colours=[*CAUSE.values(), WITHOUT_DEMAND],
        ended_by=of_operation(result.operations.name, len(line.trace.names)),
    )
