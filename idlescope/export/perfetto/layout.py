"""Which pid and tid each record of a Trace has in a file, and what is taken from its times."""

from __future__ import annotations

import json

import numpy as np

from idlescope.export.perfetto import arrows, tracks
from idlescope.export.perfetto.times import time_offset
from idlescope.export.processes import pids, process_names
from idlescope.trace.model import Trace
from idlescope.trace.table import Int64

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
        thread_pids = [self.pids[thread.process] for thread in trace.threads]
        self.thread_pid = np.array(thread_pids, np.int64)
        last_host_pid = max(self.pids.values(), default=0)
        self._first_device_pid = _next_thousand(last_host_pid)
        self.host = tracks.host(trace)  # ranges, then calls
        self.launch_arrows = arrows.launches(trace)

        # of each device: the rows of its operations, and where they lie
        self.device_rows: list[Int64] = []
        self.device_tracks: list[tracks.Tracks] = []
        self._operation_tid = np.zeros(len(trace.operations), np.int64)
        for device in range(len(trace.devices)):
            device_rows = np.flatnonzero(trace.operations.device == device)
            laid_tracks = tracks.device(trace, device_rows)
            self._operation_tid[device_rows] = laid_tracks.tid
            self.device_rows.append(device_rows)
            self.device_tracks.append(laid_tracks)

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

    def place_of(self, end: arrows.End) -> tuple[int, int]:
        """Return the pid and the tid of where an arrow ends."""
        if end.on_range:
            thread = self.trace.ranges.thread[end.row]
            return int(self.thread_pid[thread]), int(self.host.tid[end.row])
        device = int(self.trace.operations.device[end.row])
        return self.device_pid(device), int(self._operation_tid[end.row])

    def process_label(self, process: int) -> str:
        """Return what tells a process apart: its name, else its pid."""
        return self.process_names[process] or str(self.pids[process])


def _next_thousand(number: int) -> int:
    return DEVICE_PIDS * (number // DEVICE_PIDS + 1)
