"""What a long run on the CPU device takes in memory, with requests that arrive all the time.

    python tests/benchmarks/long_cpu_run.py --steps 100000

Prints the memory without files of the engine's process and of its worker after every tenth of the steps.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.models.presets import model

SHAPE = Shape(rows=2, tokens=32, length=80, blocks=48, block_size=4)
TOKENS = 60  # of a request: as many steps, of which two requests share each
EVERY_NS = 40_000_000  # from one request's arrival to the next


def without_files_mb(process_id: int) -> float:
    """Return the memory of a process that no file stands behind, in MB."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise KeyError(process_id)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    device, begin = CpuDevice(Network(model("tiny"), "float32")), time.monotonic()
    told = {0}

    def tell(engine: Engine) -> None:
        if engine.steps % max(steps // 10, 1) or engine.steps in told:
            return
        told.add(engine.steps)
        worker_mb = without_files_mb(device._process.pid)
        print(
            f"{engine.steps:9,} steps {time.monotonic() - begin:7.0f} s  engine {without_files_mb(os.getpid()):6.1f} MB  "
            f"worker {worker_mb:6.1f} MB",
            flush=True,
        )

    try:
        slots = device.open(SHAPE, 2)
        requests = [
            Request(number, np.arange(3, 19), TOKENS, arrival_ns=number * EVERY_NS)
            for number in range(steps * SHAPE.rows // TOKENS + 1)
        ]
        engine = Engine(device, slots, requests, StepClock(device.clock.now))
        engine.run(tell)
    finally:
        device.close()
    print(f"{engine.steps:,} steps of {len(requests):,} requests ended")


if __name__ == "__main__":
    main()
