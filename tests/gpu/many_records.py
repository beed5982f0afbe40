"""Does CUPTI go on for days? python3 tests/gpu/many_records.py [MILLIONS OF KERNELS]

CUPTI is turned on as a watch of an engine does it; a graph of small kernels is launched again and again, with a kernel
besides it. Prints, as JSON a line for each million kernels, how many records of graphs and of kernels came since the last one, how many of those
without times, and how much memory the device has left. With records for each kernel of a graph, CUPTI 13.0 is known to need a GiB more and
then to give no times after 25 million of them (parca-dev/parcagpu#23); the watch asks for one a graph.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import graph_launch
import torch

from idlescope.watching.ways.cupti import Cupti
from idlescope.watching.ways.cupti_records import RecordSizes, device_records

MILLION = 1_000_000
NODES = 400
AT_ONCE = 20  # launches before the device is waited for


def taken(cupti: Cupti, sizes: RecordSizes) -> dict[str, int]:
    """Take the buffers that are complete; return how many records of operations they held."""
    found = {"records": 0, "without times": 0}
    cupti.flush()
    while cupti.buffers.completed:
        completed = cupti.buffers.completed.popleft()
        size_of = partial(cupti.record_size, completed)
        offsets = sizes.offsets(completed.buffer, completed.valid, size_of)
        operations = device_records(completed.buffer, offsets)
        timed = operations.timed
        found["records"] += timed.size
        found["without times"] += int(timed.size - timed.sum())
        cupti.buffers.give_back(completed.address)
    return found


def main(millions: int) -> None:
    """Launch so many million kernels."""
    cupti, sizes = Cupti(), RecordSizes()
    cupti.start(has_context=False)
    rows = torch.zeros(64, device="cuda")
    graph = graph_launch.captured(NODES, before=lambda: None, after=lambda: None)
    for million in range(1, millions + 1):
        found = {"records": 0, "without times": 0}
        for launch in range(MILLION // NODES):
            graph.replay()
            rows.add_(1)
            if launch % AT_ONCE == 0:
                torch.cuda.synchronize()
                for name, count in taken(cupti, sizes).items():
                    found[name] += count
        free_bytes, _ = torch.cuda.mem_get_info()
        said = {"kernels": million * MILLION, **found, "free_mib": free_bytes >> 20}
        said["refused"] = cupti.buffers.refused
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 40)
