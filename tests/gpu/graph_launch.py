"""What does CUPTI make of the launch of a CUDA graph? python3 tests/gpu/graph_launch.py

Each way of turning kinds of records on is tried in a process of its own: a graph of small kernels is captured and
launched, and a kernel besides it. Prints, as JSON a line, how long a launch call takes on the host, how long a step, and how many records
of each kind came: the graph's (51), the kernels' (10) and the calls' (5, 4).
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import torch

from idlescope.watching.ways.cupti import APIS, KINDS, Cupti, CuptiError
from idlescope.watching.ways.cupti_records import (
    CONCURRENT_KERNEL,
    DRIVER,
    GRAPH_TRACE,
    MEMCPY,
    MEMSET,
    RUNTIME,
)

NODES = (400,)
LAUNCHES = 300
ROUNDS = 4
COPIES = (MEMCPY, MEMSET)
PEER_COPIES = (22,)  # of CUpti_ActivityKind: the watch does not ask for them, see below
CALLS = (RUNTIME, DRIVER)
KERNELS = (CONCURRENT_KERNEL,)
GRAPHS = (GRAPH_TRACE,)
ALL = (*KINDS, *CALLS)
# What is on before the capture, what is off while it lasts, what is turned on and off after it.
WAYS: dict[
    str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
] = {
    "none": ((), (), (), ()),
    "all": (ALL, (), (), ()),
    "all but driver calls": ((*KINDS, RUNTIME), (), (), ()),
    "all but calls": (KINDS, (), (), ()),
    "all and peer copies": ((*ALL, *PEER_COPIES), (), (), ()),
    "all but copies": ((*GRAPHS, *KERNELS, *CALLS), (), (), ()),
    "all but kernels": ((*GRAPHS, *COPIES, *CALLS), (), (), ()),
    "all, kernels off in capture": (ALL, KERNELS, KERNELS, ()),
    "all, off after capture": (ALL, (), (), ALL),
    "graphs": (GRAPHS, (), (), ()),
    "graphs, kernels": (GRAPHS + KERNELS, (), (), ()),
    "graphs, runtime calls": ((*GRAPHS, RUNTIME), (), (), ()),
    "copies": (COPIES, (), (), ()),
    "copies, calls": ((*COPIES, *CALLS), (), (), ()),
    # Graphs timed otherwise (by events), and kernels recorded only while there is no graph launched:
    "copies, kernels beside graphs": (COPIES, (), (), ()),
}
# Of this way: what is on while the kernel besides the graph is launched, and at no other time.
ONLY_BESIDE = {"copies, kernels beside graphs": KERNELS}


def turn(cupti: Cupti, kinds: tuple[int, ...], on: bool) -> None:
    """Turn kinds of records on or off."""
    for kind in kinds:
        cupti._try(
            "cuptiActivityEnable" if on else "cuptiActivityDisable", ctypes.c_uint32(kind)
        )
        for api in APIS:
            if on and api.kind == kind:
                cupti._choose(api, launching=False, record=False)


def turn_both(cupti: Cupti, on: tuple[int, ...], off: tuple[int, ...]) -> None:
    """Turn some kinds on and others off."""
    turn(cupti, on, True)
    turn(cupti, off, False)


def begin(cupti: Cupti, way: str, kinds: tuple[int, ...]) -> None:
    """Take records of these kinds."""
    if way == "none":
        return
    buffers = cupti.buffers
    cupti._call(
        "cuptiActivityRegisterCallbacks",
        buffers.requested_callback,
        buffers.completed_callback,
    )
    turn(cupti, kinds, True)


def captured(
    nodes: int, before: Callable[[], None], after: Callable[[], None]
) -> torch.cuda.CUDAGraph:
    """Return a graph of so many small kernels."""
    rows = torch.zeros(64, device="cuda")
    graph = torch.cuda.CUDAGraph()
    rows.add_(1)
    torch.cuda.synchronize()
    before()
    with torch.cuda.graph(graph):
        for _ in range(nodes):
            rows.add_(1)
    after()
    return graph


def timed(
    graph: torch.cuda.CUDAGraph, turn_beside: Callable[[bool], None]
) -> tuple[float, float]:
    """Return how long a launch and a step take, in us.

    `turn_beside` turns on and off what is recorded of the kernel besides the graph.
    """
    rows = torch.zeros(64, device="cuda")
    calls, steps = [], []
    for _ in range(LAUNCHES):
        begin = time.perf_counter_ns()
        graph.replay()
        end = time.perf_counter_ns()
        turn_beside(True)
        rows.add_(1)
        turn_beside(False)
        torch.cuda.synchronize()
        calls.append(end - begin)
        steps.append(time.perf_counter_ns() - begin)
    return median(calls[20:]) / 1e3, median(steps[20:]) / 1e3


def records(cupti: Cupti) -> dict[int, int]:
    """Return how many records of each kind came."""
    found: Counter[int] = Counter()
    for completed in list(cupti.buffers.completed):
        offset = 0
        kinds = completed.buffer.view("uint32")
        while offset < completed.valid:
            found[int(kinds[offset // 4])] += 1
            size = cupti.record_size(completed, offset)
            if not size:
                break
            offset += size
    return dict(found)


def try_way(way: str) -> None:
    """Try one way; print what it costs."""
    first, off_in_capture, on_after, off_after = WAYS[way]
    torch.zeros(1, device="cuda")
    cupti = Cupti()
    begin(cupti, way, first)
    found: dict[str, object] = {"way": way}
    try:
        for nodes in NODES:
            graph = captured(
                nodes,
                before=lambda: turn(cupti, off_in_capture, False),
                after=lambda: turn_both(cupti, on_after, off_after),
            )
            call_us, step_us = timed(graph, partial(turn, cupti, ONLY_BESIDE.get(way, ())))
            found[f"{nodes} nodes"] = {
                "launch_us": round(call_us, 1),
                "step_us": round(step_us, 1),
            }
        if way != "none":
            cupti._try("cuptiActivityFlushAll", ctypes.c_uint32(1))
            found["records"] = records(cupti)
            found["refused"] = cupti.buffers.refused
    except CuptiError as error:
        found["error"] = str(error)
    print(json.dumps(found), flush=True)


def try_in_process(way: str, script: str = __file__) -> None:
    """Have a script try one way in a process of its own; print what it says."""
    command = (sys.executable, script, way)
    try:
        done = subprocess.run(
            command, timeout=60, capture_output=True, text=True, check=False
        )
        said = done.stdout.strip() or json.dumps({"way": way, "error": done.stderr[-600:]})
    except subprocess.TimeoutExpired:
        said = json.dumps({"way": way, "error": "60 s"})
    print(said, flush=True)


def main() -> None:
    """Try all ways, or the one that is named."""
    if sys.argv[1:]:
        try_way(sys.argv[1])
        return
    for _ in range(ROUNDS):
        for way in WAYS:
            try_in_process(way)


if __name__ == "__main__":
    main()
