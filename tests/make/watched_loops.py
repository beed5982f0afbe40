"""A device that is pretended, with exact times, and loops that drive it while they are watched."""

from __future__ import annotations

import time

import numpy as np

import idlescope
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.trace.model import Device, OperationKind, Trace
from idlescope.watching.ring import Kept, Watched, trace_of
from idlescope.watching.rows import COLLECTION, NO_DEMAND, RESERVED_NAMES, joined
from idlescope.watching.ways.base import Ended

MS = 1_000_000
FIELDS = ("launch", "stream", "kind", "name", "start", "end")


class PretendedDevice:
    """Implements `DeviceWay`: each launch runs so long, after its call and after the one before."""

    name = "pretended"
    names = ("forward",)
    tells_communication = True
    limits = ("nothing of it is real",)

    def __init__(self, length_ns: int = 2 * MS, latency_ns: int = 10_000, index: int = 0):
        self.device = Device(0, index, f"pretended {index}")
        self.length_ns, self.latency_ns = length_ns, latency_ns
        self.operations: list[tuple[int, ...]] = []  # FIELDS, all there ever were
        self.calls: list[tuple[int, int]] = []
        self.free = 0
        self.closed = 0
        self._told = 0
        self._begun = 0

    def begin(self, launch: int, start_ns: int) -> None:
        self._begun = start_ns

    def end(self, launch: int) -> None:
        returned = self.now()
        start = max(returned + self.latency_ns, self.free)
        self.free = start + self.length_ns
        self.calls.append((self._begun, returned))
        self.operations.append((launch, 0, OperationKind.GRAPH, 0, start, self.free))

    def wait(self, launch: int) -> None:
        """Block until a launch has ended."""
        end = self.operations[launch - 1][-1]
        while (rest := end - self.now()) > 0:
            if rest > 2 * MS:  # what sleeps wakes late
                time.sleep((rest - 2 * MS) / 1e9)

    def ended(self) -> Ended:
        now = self.now()
        done = sum(row[-1] <= now for row in self.operations)
        fresh = self.operations[self._told : done]
        self._told = done
        until = self.calls[done][0] if done < len(self.calls) else now
        columns = np.array(fresh, np.int64).reshape(-1, len(FIELDS)).T
        communication = np.zeros(len(fresh), np.bool_)
        return Ended(
            **dict(zip(FIELDS, columns, strict=True)),
            communication=communication,
            until_ns=until,
        )

    def now(self) -> int:
        return time.perf_counter_ns()

    def close(self) -> None:
        self.closed += 1


def busy(ns: int) -> None:
    """Work on the host for so long."""
    end = time.perf_counter_ns() + ns
    while time.perf_counter_ns() < end:
        pass


def drive(watch, device, steps: int, depth: int = 1, host_ns: int = MS) -> None:
    """Serve so many steps; `depth` 1 waits for each before it begins the next."""
    first = len(device.operations)
    for number in range(steps):
        with watch.step(tokens=4, requests=4):
            with idlescope.range("prepare"):
                busy(host_ns)
            with watch.launching("forward"):
                pass
            waited_for = first + number + 2 - depth
            if waited_for > first:
                with watch.waiting("tokens"):
                    device.wait(waited_for)
            with idlescope.range("update"):
                busy(host_ns // 4)
    if device.operations:
        device.wait(len(device.operations))


REGULAR_NAMES = (
    *RESERVED_NAMES, "launch.forward", "event.synchronize (tokens)", "prepare", "update"
)  # fmt: skip


def regular_rows(steps: int, step_ns: int = 5 * MS) -> Kept:
    """Return the rows of a synchronous loop of equal steps, of 3 ms on the device each."""
    number = np.arange(steps)
    begun = 1_000 * MS + number * step_ns
    zero, one = np.zeros(steps, np.int64), np.ones(steps, np.int64)

    def at(microseconds: int) -> np.ndarray:
        return begun + 1_000 * microseconds

    step_rows = {"number": number, "kind": zero + StepKind.DECODE.code}
    step_rows |= {"start": begun, "end": at(4_990), "tokens": 4 * one, "requests": 4 * one}
    code = len(RESERVED_NAMES) + zero
    launches = {"name": code, "step": number, "start": at(1_500), "end": at(1_550)}
    waits = {"name": code + 1, "step": number, "start": at(1_600), "end": at(4_570)}
    calls = joined([{**launches, "launch": number + 1}, {**waits, "launch": zero}])
    prepare = {"name": code + 2, "step": -one, "start": at(0), "end": at(1_490)}
    update = {"name": code + 3, "step": -one, "start": at(4_580), "end": at(4_980)}
    operations = {"launch": number + 1, "stream": zero, "kind": 3 * one, "name": -one}
    operations |= {"start": at(1_560), "end": at(4_560), "communication": zero}
    operations |= {"call_start": zero, "call_end": zero, "step": number}
    return Kept(step_rows, calls, joined([prepare, update]), operations)


def regular_trace(steps: int, rank: int | None = None) -> Trace:
    """Return the Trace of such a loop, as a watch makes it."""
    said = Watched("events", ("kernels are not told apart",), "vllm", "0.24.0", rank, False)
    end = (2_000 + 6 * steps) * MS
    return trace_of(
        regular_rows(steps), end, REGULAR_NAMES, (), Device(0, 0, "a GPU"), said, 10**18
    )


def waiting_for_requests(
    every: int,
    none_ns: int,
    told_late_ns: int = 0,
    collected_ns: int = 0,
    loaded_ns: int = 0,
    steps: int = 60,
    steps_begin_late: bool = False,
) -> Trace:
    """Return a watched loop of 5 ms a step that says before some steps that it had no request.

    It says so `told_late_ns` after it has none, and collects garbage meanwhile. Its device was busy
    for 1 ms, `loaded_ns` before the first step.
    """
    rows = regular_rows(steps)
    behind = none_ns * (np.arange(steps) // every)

    def later(table, step):
        moved = {name: table[name] + behind[step] for name in ("start", "end")}
        return table | moved

    def without_request(name, start_ns, end_ns):
        begun = (rows.steps["start"] + behind)[every::every] - none_ns
        name, step = np.full(begun.size, name), np.full(begun.size, -1)
        return {
            "name": name,
            "step": step,
            "start": begun + start_ns,
            "end": begun + end_ns,
        }

    phases = [later(rows.phases, np.tile(np.arange(steps), 2))]
    phases.append(without_request(NO_DEMAND, told_late_ns, none_ns))
    if collected_ns:
        collected_from = told_late_ns + MS
        collected_to = collected_from + collected_ns
        phases.append(without_request(COLLECTION, collected_from, collected_to))
    operations = later(rows.operations, rows.operations["step"])
    if loaded_ns:
        loading = {name: values[:1].copy() for name, values in operations.items()}
        loading |= {"launch": np.zeros(1, np.int64), "step": np.full(1, -1)}
        loading["start"] = loading["start"] - loaded_ns
        loading["end"] = loading["start"] + MS
        operations = joined([loading, operations])
    moved = Kept(
        steps=later(rows.steps, np.arange(steps)),
        calls=later(rows.calls, rows.calls["step"]),
        phases=joined(phases),
        operations=operations,
    )
    said = Watched("events", (), "vllm", "0.24.0", None, False, steps_begin_late)
    end = int(moved.steps["end"][-1])
    return trace_of(moved, end, REGULAR_NAMES, (), Device(0, 0, "a GPU"), said, 10**18)
