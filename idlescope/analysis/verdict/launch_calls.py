"""Which calls launch work for a device, and of which of them the work was recorded."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.analysis.verdict.graph_capture import captured
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import among
from idlescope.trace.model import Calls
from idlescope.trace.names.calls import COPY, GRAPH_LAUNCH, LAUNCH, MEMSET, matching
from idlescope.trace.table import Bool


class LaunchCalls(Struct, frozen=True):
    """Which calls of the device's process launch, and what became of it: one entry per call."""

    launching: Bool  # a kernel, a copy, a memset or a graph, that runs
    captured: Bool  # would, but goes into a CUDA graph that is captured, and does not run
    graph: Bool  # a CUDA graph
    ran: Bool  # an operation that it launched was recorded
    kind_recorded: Bool  # operations of the kind that it launches were recorded at all

    @property
    def without_record(self) -> Bool:
        """Return which calls launch something of which no record came."""
        return np.asarray(self.launching & ~self.ran, np.bool_)

    def within(self, calls: Calls, start: int, end: int) -> LaunchCalls:
        """Return the same of the calls that begin in [start, end), ns."""
        inside = (calls.start >= start) & (calls.start < end)
        return LaunchCalls(
            launching=self.launching & inside,
            captured=self.captured & inside,
            graph=self.graph & inside,
            ran=self.ran,
            kind_recorded=self.kind_recorded,
        )


def launch_calls(view: DeviceView) -> LaunchCalls:
    """Return which calls of the device's process launch, and what became of it."""
    trace, calls = view.trace, view.trace.calls
    own_call = trace.calls_of(view.process)
    launching = (
        matching(LAUNCH, trace.names)[calls.name] & own_call & (calls.correlation != 0)
    )
    # Correlation ids are unique within a process only.
    own_operation = trace.operations_of(view.process)
    recorded = trace.operations.correlation[own_operation]
    ran = among(calls.correlation, recorded)
    in_capture = captured(trace, np.asarray(launching & ~ran, np.bool_))
    launching &= ~in_capture
    kind_recorded = np.ones(len(calls), np.bool_)
    for kind in (MEMSET, COPY):
        of_kind = launching & matching(kind, trace.names)[calls.name]
        kind_recorded[of_kind] = (of_kind & ran).any()
    return LaunchCalls(
        launching=launching,
        captured=in_capture,
        graph=matching(GRAPH_LAUNCH, trace.names)[calls.name] & own_call,
        ran=ran,
        kind_recorded=kind_recorded,
    )
