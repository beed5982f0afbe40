"""Which pid and tid each record of a Trace has in a file, and what is taken from its times."""

from __future__ import annotations

import json

import numpy as np

from idlescope.export.perfetto import arrows, tracks
from idlescope.export.perfetto.times import time_offset
from idlescope.export.processes import pids, process_names
from idlescope.trace.model import Trace

# Devices have the pids from the next thousand on that is above every host process's.
DEVICE_PIDS = 1000


class Layout:
    """One trace with what is the same for all of its events."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.offset = time_offset(trace)  # taken from all times, ns
        self.names = [json.dumps(name) for name in trace.names]  # as JSON
        self.pids = pids(trace)  # by process code
        self.process_names = process_names(trace)
        self.thread_pid = np.array([self.pids[t.process] for t in trace.threads], np.int64)
        self._first_device_pid = _next_thousand(max(self.pids.values(), default=0))
        self.host = tracks.host(trace)  # ranges, then calls
        devices = range(len(trace.devices))
        # of each device: the rows of its operations, and where they lie
        self.device_rows = [np.flatnonzero(trace.operations.device == i) for i in devices]
        self.device_tracks = [tracks.device(trace, rows) for rows in self.device_rows]
        self.launch_arrows = arrows.launches(trace)

    @property
    def several_processes(self) -> bool:
        """Whether events have to say which process they are of."""
        return len(self.pids) > 1

    @property
    def request_pid(self) -> int:
        """The pid of a group of tracks for what happens to requests."""
        return self.device_pid(len(self.trace.devices))

    def device_pid(self, device: int) -> int:
        """Return the pid of a device, given by its index in the trace."""
        return self._first_device_pid + device

    def process_label(self, process: int) -> str:
        """Return what tells a process apart: its name, else its pid."""
        return self.process_names[process] or str(self.pids[process])


def _next_thousand(number: int) -> int:
    return DEVICE_PIDS * (number // DEVICE_PIDS + 1)
