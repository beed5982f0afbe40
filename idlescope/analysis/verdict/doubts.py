"""What of one device's figures is in doubt, and what of its idle time is a cold start."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.cold_start import ColdStart, cold_start
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.steps.window import Window, WindowKind, time_text
from idlescope.analysis.verdict import corruption
from idlescope.analysis.verdict.bounds import IdleBounds, idle_bounds
from idlescope.analysis.verdict.corruption import Corruption
from idlescope.analysis.verdict.launch_calls import LaunchCalls
from idlescope.analysis.verdict.unrecorded import unrecorded
from idlescope.analysis.view import DeviceView


class Doubts(Struct, frozen=True):
    """What is in doubt within a window."""

    bounds: IdleBounds
    corruption: Corruption
    cold_start: ColdStart | None
    after_cold_start: str  # the window that leaves it out; empty where there is none


def doubts(
    view: DeviceView,
    launches: LaunchCalls,
    window: Window,
    occupancy: Occupancy,
    gaps: Gaps,
) -> Doubts:
    """Return what is in doubt of a window; `view` and `launches` are those of the window."""
    corrupt = corruption.find(view, gaps)
    missing = unrecorded(view, launches, gaps, corrupt.clock_ns)
    cold = cold_start(view, gaps)
    return Doubts(
        bounds=idle_bounds(view, occupancy, missing, corrupt),
        corruption=corrupt,
        cold_start=cold,
        after_cold_start=time_text(view, cold.end, window.end) if cold is not None else "",
    )


def within(view: DeviceView, window: Window) -> DeviceView:
    """Return what the window that was asked for holds of a device's operations."""
    if window.kind == WindowKind.FIRST_LAST:
        return view
    inside = window.touches(view.operations)
    return replace(
        view,
        operations=view.operations.take(inside),
        launches=view.launches[inside],
        collective=view.collective[inside],
        process_group=view.process_group[inside],
    )
