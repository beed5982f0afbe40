"""What does CUPTI make of single calls of CUDA? python3 tests/gpu/api_calls.py

Each way of turning it on is tried in a process of its own. Prints, as JSON a line, how long a call takes on the host, in us, and
how many records of each kind came: kernels' (10), copies' (1), graphs' (51) and calls' (5, 4).

none            without CUPTI
every call      a watch that begins where CUDA has a context: the whole kind of calls is turned on
chosen          a watch of an engine: before there is a context, only calls that launch work
chosen late     the same where there is a context: calls are not recorded
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import graph_launch
import torch

from idlescope.watching.ways.cupti import Cupti

WAYS = ("none", "every call", "chosen", "chosen late")
CALLS = 2_000
AT_ONCE = 50  # calls before the device is waited for
WARM_UP = 200
ROUNDS = 4


def started(way: str) -> Cupti:
    """Return CUPTI, turned on in this way."""
    if way != "chosen":
        torch.zeros(1, device="cuda")
    cupti = Cupti()
    if way != "none":
        cupti.start(has_context=way == "every call")
    torch.zeros(1, device="cuda")
    return cupti


def timed_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """Return how long a call takes, the median."""
    taken = []
    for number in range(calls):
        begin = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - begin)
        if number % AT_ONCE == 0:
            torch.cuda.synchronize()
    return round(median(taken[min(WARM_UP, calls // 2) :]) / 1e3, 2)


def try_way(way: str) -> None:
    """Try one way; print what calls take."""
    cupti = started(way)
    on_device, on_host = torch.zeros(64, device="cuda"), torch.zeros(64).pin_memory()
    event, stream = torch.cuda.Event(), torch.cuda.Stream()
    event.record()
    graph = graph_launch.captured(400, before=lambda: None, after=lambda: None)
    found: dict[str, object] = {
        "way": way,
        "event record": timed_us(event.record),
        "event query": timed_us(event.query),
        "stream waits": timed_us(lambda: stream.wait_event(event)),
        "kernel": timed_us(lambda: on_device.add_(1)),
        "copy": timed_us(lambda: on_device.copy_(on_host, non_blocking=True)),
        "graph": timed_us(graph.replay, 400),
    }
    torch.cuda.synchronize()
    cupti._try("cuptiActivityFlushAll", ctypes.c_uint32(1))
    found["records"] = graph_launch.records(cupti)
    print(json.dumps(found), flush=True)


def main() -> None:
    """Try all ways by turns, or the one that is named."""
    if sys.argv[1:]:
        try_way(sys.argv[1])
        return
    for way in WAYS * ROUNDS:
        graph_launch.try_in_process(way, __file__)


if __name__ == "__main__":
    main()
