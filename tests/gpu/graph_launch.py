"""What does CUPTI make of the launch of a CUDA graph? python3 tests/gpu/graph_launch.py

Each way of turning kinds of records on is tried in a process of its own: a graph of small kernels is captured and
launched, with a kernel before it and one after. Prints, as JSON a line, how long a launch call takes on the host, how long a step, and how many records
of each kind came: the graph's (51), the kernels' (10) and the calls' (5, 4).
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

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
ROUNDS = int(os.environ.get("ROUNDS", "4"))
BUSY_CYCLES = 2_000_000  # of the device's clock: a millisecond
COPIES = (MEMCPY, MEMSET)
PEER_COPIES = (22,)  # of CUpti_ActivityKind: the watch does not ask for them, see below
CALLS = (RUNTIME, DRIVER)
KERNELS = (CONCURRENT_KERNEL,)
GRAPHS = (GRAPH_TRACE,)
ALL = (*KINDS, *CALLS)
OPERATIONS = (*COPIES, *KERNELS)
BESIDE = (*OPERATIONS, *CALLS)


class Way(NamedTuple):
    """Which kinds of records are on, and when."""

    on: tuple[int, ...] = ()  # before the capture
    off_in_capture: tuple[int, ...] = ()  # and on again after it
    off_after: tuple[int, ...] = ()  # the capture
    off_in_launches: tuple[int, ...] = ()  # on again after each


# "chosen": of calls only those that launch work, turned on before there is a context.
WAYS = {
    "none": Way(),
    "all": Way(ALL),
    "all but driver calls": Way((*KINDS, RUNTIME)),
    "all but calls": Way(KINDS),
    "all and peer copies": Way((*ALL, *PEER_COPIES)),
    "all but copies": Way((*GRAPHS, *KERNELS, *CALLS)),
    "all but kernels": Way((*GRAPHS, *COPIES, *CALLS)),
    "all, kernels off in capture": Way(ALL, off_in_capture=KERNELS),
    "all, off after capture": Way(ALL, off_after=ALL),
    "graphs": Way(GRAPHS),
    "graphs, kernels": Way(GRAPHS + KERNELS),
    "graphs, runtime calls": Way((*GRAPHS, RUNTIME)),
    "copies": Way(COPIES),
    "copies, calls": Way((*COPIES, *CALLS)),
    "chosen calls": Way(CALLS),
    # Graphs timed otherwise (by events), and not recorded while they are launched:
    "kernels off in launches": Way(BESIDE, off_in_launches=KERNELS),
    "kernels off in capture and launches": Way(BESIDE, KERNELS, off_in_launches=KERNELS),
    "chosen, kernels off in launches": Way(BESIDE, off_in_launches=KERNELS),
    "chosen, all off in launches": Way(BESIDE, off_in_launches=OPERATIONS),
    "chosen, all off in capture and launches": Way(
        BESIDE, OPERATIONS, off_in_launches=OPERATIONS
    ),
    "chosen, no copies, kernels off in launches": Way(
        KERNELS + CALLS, off_in_launches=KERNELS
    ),
}


def turn(cupti: Cupti, kinds: tuple[int, ...], on: bool) -> None:
    """Turn kinds of records on or off."""
    for kind in kinds:
        cupti._try(
            "cuptiActivityEnable" if on else "cuptiActivityDisable", ctypes.c_uint32(kind)
        )
        for api in APIS:
            if on and api.kind == kind:
                cupti._choose(api, launching=False, record=False)


def begin(cupti: Cupti, way: str, kinds: tuple[int, ...]) -> None:
    """Take records of these kinds; "chosen": of calls only those that launch work."""
    if way == "none":
        return
    buffers = cupti.buffers
    cupti._call(
        "cuptiActivityRegisterCallbacks",
        buffers.requested_callback,
        buffers.completed_callback,
    )
    chosen = CALLS if way.startswith("chosen") else ()
    turn(cupti, tuple(kind for kind in kinds if kind not in chosen), True)
    for api in APIS:
        if api.kind in chosen:
            cupti._choose(api, launching=True, record=True)


def after_capture(cupti: Cupti, tried: Way) -> None:
    """Turn on what was off while a graph was captured, and off what is not wanted after."""
    turn(cupti, tried.off_in_capture, True)
    turn(cupti, tried.off_after, False)


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
    graph: torch.cuda.CUDAGraph, turn_beside: Callable[[bool], None], busy_cycles: int = 0
) -> tuple[float, float]:
    """Return how long a launch and a step take, in us; a kernel goes before the graph and one after.

    `turn_beside` turns off and on what is not recorded of the graph. The device sleeps `busy_cycles` before: what
    waits for it shows in the launch.
    """
    rows = torch.zeros(64, device="cuda")
    calls, steps = [], []
    for _ in range(LAUNCHES):
        if busy_cycles:
            torch.cuda._sleep(busy_cycles)
        rows.add_(1)
        begin = time.perf_counter_ns()
        turn_beside(False)
        graph.replay()
        turn_beside(True)
        end = time.perf_counter_ns()
        rows.add_(1)
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
    tried = WAYS[way]
    early = way.startswith(
        "chosen"
    )  # single calls can only be chosen before there is a context
    if not early:
        torch.zeros(1, device="cuda")
    cupti = Cupti()
    begin(cupti, way, tried.on)
    found: dict[str, object] = {"way": way}
    try:
        for nodes in NODES:
            graph = captured(
                nodes,
                before=lambda: turn(cupti, tried.off_in_capture, False),
                after=lambda: after_capture(cupti, tried),
            )
            turn_beside = partial(turn, cupti, tried.off_in_launches)
            call_us, step_us = timed(graph, turn_beside)
            busy_us, _ = timed(graph, turn_beside, BUSY_CYCLES)
            found[f"{nodes} nodes"] = {
                "launch_us": round(call_us, 1),
                "step_us": round(step_us, 1),
                "busy_launch_us": round(busy_us, 1),
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
    """Try all ways, those whose names hold one of these words, or the one that is named."""
    words = sys.argv[1:]
    if words and words[0] in WAYS:
        try_way(words[0])
        return
    ways = [way for way in WAYS if not words or any(word in way for word in words)]
    for _ in range(ROUNDS):
        for way in ways:
            try_in_process(way)


if __name__ == "__main__":
    main()
