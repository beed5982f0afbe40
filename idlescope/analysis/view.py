"""One device's slice of a trace: what every analysis of a device starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from idlescope.analysis import launches
from idlescope.analysis.idle import polling, waits
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Device, OperationKind, Operations, Trace
from idlescope.trace.names import communication
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64
from idlescope.trace.watch_said import said_by_watch


class DeviceView(Struct, frozen=True, dict=True):
    """What a trace holds of one device. Times are in nanoseconds."""

    trace: Trace
    device: Device
    operations: Operations  # of this device, sorted by start, then by end
    launches: Int64  # row of trace.calls that launched each operation; -1: not captured
    waits: (
        Bool  # for each row of trace.calls: this device's process waits for a device in it
    )
    blocking_copies: (
        Int64  # rows of trace.calls: copies of unpinned memory that the process waited for
    )
    names: SpanNames  # what span names mean
    # of each operation: code of the Collective that the kernel is, 0: none; and the index into
    # trace.names of its process group, -1: not said
    collective: Int64
    process_group: Int64

    @property
    def process(self) -> int:
        """Return the code of the process that used the device (`Device.process`)."""
        return self.device.process

    @property
    def engine(self) -> str:
        """Return whose loop it is: as a watch says, else by its spans; "": unknown."""
        return said_by_watch(self.trace.meta).engine or self.names.engine

    @cached_property
    def in_graph(self) -> Bool:
        """Return which operations are part of a graph: by the call that launched, or their kind."""
        names_graph_launch = matching(GRAPH_LAUNCH, self.trace.names)
        has_launch = self.launches >= 0
        launch_name = self.trace.calls.name[self.launches[has_launch]]
        in_graph = self.operations.kind == OperationKind.GRAPH
        in_graph[has_launch] |= names_graph_launch[launch_name]
        return np.asarray(in_graph, np.bool_)

    @property
    def steps_begin_late(self) -> bool:
        """Return whether the host has worked for a step before its span begins."""
        told_late = said_by_watch(self.trace.meta).steps_begin_late
        return told_late or self.names.step_begins_late

    @property
    def says_asynchronous(self) -> bool:
        """Return whether a recording of ours says that batching is asynchronous."""
        meta = self.trace.meta
        return meta.mode == "async" or said_by_watch(meta).overlaps

    @cached_property
    def launching_thread(self) -> int:
        """Return the thread that launched most of the operations; -1 where none is known."""
        launching_calls = self.launches[self.launches >= 0]
        if not launching_calls.size:
            return -1
        return most_common_thread(self.trace, self.trace.calls.thread[launching_calls])


def most_common_thread(trace: Trace, threads: NDArray[np.int32]) -> int:
    """Return the most frequent of some threads, at least one; of equals the first by its label.

    Files number threads as they come.
    """
    counts = np.bincount(threads)
    equals = np.flatnonzero(counts == counts.max()).tolist()
    return min(equals, key=lambda thread: trace.threads[thread].label)


def device_views(
    trace: Trace, names: SpanNames, devices: Sequence[int]
) -> list[DeviceView]:
    """Return a view for each of some devices, given as indices into `trace.devices`.

    The trace of a view is the file of the device's rank, where each rank has a file of its own.
    """
    views: dict[int, DeviceView] = {}
    for file_trace in trace.files():
        in_file = set(distinct(file_trace.operations.device).tolist())
        of_file = [device for device in devices if device in in_file]
        views |= zip(of_file, _views(file_trace, names, of_file), strict=True)
    return [views[device] for device in devices]


def _views(trace: Trace, names: SpanNames, devices: Sequence[int]) -> list[DeviceView]:
    """Return a view for each of some devices of one file."""
    linked = launches.link(trace, trace.operations)
    polls = polling.with_polls(trace)
    if polls.waits.size:
        trace = replace(trace, calls=polls.calls)
    waiting = waits.waiting(trace, linked)
    waiting[polls.waits] = True
    copies = waits.blocking_copies(trace, linked)
    used = distinct(trace.operations.name).tolist()
    collective_of_name = communication.collectives(trace.names, used)
    return [
        _view(trace, names, index, linked, waiting, copies, collective_of_name)
        for index in devices
    ]


def _view(
    trace: Trace,
    names: SpanNames,
    index: int,
    linked: Int64,
    waiting: Bool,
    copies: Int64,
    collective_of_name: Int64,
) -> DeviceView:
    device, operations = trace.devices[index], trace.operations
    of_device = operations.device == index
    rows = np.flatnonzero(of_device)
    by_time = np.lexsort((operations.end[rows], operations.start[rows]))
    # a recording's are in order, and all of one device: they need no copy
    is_in_order = bool((by_time[1:] > by_time[:-1]).all())
    rows = rows[by_time]
    own_operations = operations.take(of_device if is_in_order else rows)
    own_waits = waiting & trace.calls_of(device.process)
    return DeviceView(
        trace=trace,
        device=device,
        operations=own_operations,
        launches=linked[rows],
        waits=own_waits,
        blocking_copies=copies[own_waits[copies]],
        names=names,
        collective=_collective(own_operations, collective_of_name),
        process_group=_process_group(trace, index, operations.correlation[rows]),
    )


def _collective(operations: Operations, collective_of_name: Int64) -> Int64:
    """Return which collective each operation is; copies and memsets are none."""
    is_kernel = operations.kind == OperationKind.KERNEL
    return np.where(is_kernel, collective_of_name[operations.name], 0)


def _process_group(trace: Trace, device: int, correlation: Int64) -> Int64:
    """Return the process group of each operation of a device, by its correlation id."""
    found = np.full(correlation.size, -1, np.int64)
    said = trace.collectives.take(trace.collectives.device == device)
    if not len(said):
        return found
    ids, first = np.unique(said.correlation, return_index=True)
    position = np.minimum(np.searchsorted(ids, correlation), ids.size - 1)
    known = ids[position] == correlation
    found[known] = said.name[first[position[known]]]
    return found
