"""A device's longest gaps, as cells of a table and as lines of text."""

from __future__ import annotations

from typing import NamedTuple

from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.idle.stacks import LongGap
from idlescope.analysis.result import DeviceResult
from idlescope.report.text import NOTHING, milliseconds, share, shorten, visible
from idlescope.trace.names.engines import PROFILER_STEP

MAX_GAPS = 5  # on a terminal
MAX_STACK_NAMES = 3  # on a terminal, innermost
ENDED_BY_WIDTH = 80


class GapCells(NamedTuple):
    """The row of one gap."""

    after: str  # from the start of the window to the start of the gap
    length: str
    step: str
    causes: str
    stack: str  # what the host was in, the innermost names last
    ended_by: str


def gap_cells(
    device: DeviceResult, gap: LongGap, max_stack_names: int = MAX_STACK_NAMES
) -> GapCells:
    """Return a gap's row, with at most so many of the innermost names of its stack."""
    # no demand is told apart from the host, which had nothing to do
    parts_ns = {NO_DEMAND: gap.no_demand_ns, **gap.cause_ns}
    parts_ns["host"] -= gap.no_demand_ns
    causes = [
        f"{cause} {share(part_ns, gap.length_ns)}"
        for cause, part_ns in parts_ns.items()
        if part_ns
    ]
    # what the profiler puts around each step says nothing of the engine
    stack = [name for name in gap.stack if not PROFILER_STEP.match(name)]
    stack_text = " › ".join(shorten(frame_name) for frame_name in stack[-max_stack_names:])
    if len(stack) > max_stack_names:
        stack_text = f"… › {stack_text}"
    return GapCells(
        after=milliseconds(gap.start_ns - device.occupancy.window[0]),
        length=milliseconds(gap.length_ns),
        step=str(gap.step) if gap.step >= 0 else NOTHING,
        causes=", ".join(causes),
        stack=stack_text or NOTHING,
        ended_by=shorten(gap.ended_by, ENDED_BY_WIDTH) or NOTHING,
    )


def gap_lines(device: DeviceResult) -> list[str]:
    """Return the longest gaps in words, three lines each."""
    text_lines = []
    for longest_gap in device.longest[:MAX_GAPS]:
        row_cells = gap_cells(device, longest_gap)
        of_step = "" if row_cells.step == NOTHING else f", step {row_cells.step}"
        text_lines += [
            f"{row_cells.length}, {row_cells.after} into the window{of_step}: {row_cells.causes}",
            f"  host in   {row_cells.stack}",
            f"  ended by  {row_cells.ended_by}",
        ]
    return [visible(line) for line in text_lines]
