"""What a long run takes in memory: while steps are taken down, while their tables are made, while they are written.

    python tests/benchmarks/long_run.py --steps 1000000

A step is told to the step clock as the engine does: five phases, a wait, three operations and the state of
the scheduler. What a whole `idlescope run` takes beside it is the engine's: 23 MB on the tiny model.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path

from idlescope.capture.step_clock import StepClock
from idlescope.engine.clock import PREPARE, RETRIEVE, SCHEDULE, SUBMIT, UPDATE
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import OperationKind
from idlescope.trace.recording import files

STEP_NS = 1_000_000
PHASES = (SCHEDULE, PREPARE, SUBMIT, RETRIEVE, UPDATE)
OPERATIONS = (
    (H2D, OperationKind.MEMCPY, "copy in"), (COMPUTE, OperationKind.KERNEL, "forward"), (D2H, OperationKind.MEMCPY, "copy out"),
)  # fmt: skip


def memory_mb(entry: str) -> int:
    """Return an entry of this process's status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(entry):
            return int(line.split()[1]) >> 10
    raise KeyError(entry)


class Stage:
    """Prints the seconds and the peak of a part of the work."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.before, self.begin = memory_mb("VmRSS"), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds = time.process_time() - self.begin
        print(
            f"{self.name:28} {seconds:6.1f} s CPU  before {self.before:5,} MB  peak {memory_mb('VmHWM'):5,} MB  "
            f"of it without a file {memory_mb('RssAnon'):5,} MB at its end",
            flush=True,
        )


def take_down(clock: StepClock, steps: int) -> None:
    """Tell a step clock of steps."""
    for step in range(steps):
        start = step * STEP_NS
        for place, phase in enumerate(PHASES):
            clock.phase(phase, step, start + place * 100_000, start + (place + 1) * 100_000)
        clock.wait(step, start + 300_000, start + 390_000)
        clock.operations(step, operations(start))
        clock.counters(start + 500_000, 2, 3, 100, 2)


def operations(start: int) -> list[DeviceOperation]:
    """Return what a step ran."""
    return [
        DeviceOperation(
            stream=stream, kind=kind, name=name, call="submit", call_start=start + 200_000 + 1_000 * place,
            call_end=start + 200_900 + 1_000 * place, start=start + 300_000 + 20_000 * place,
            end=start + 310_000 + 20_000 * place, bytes=100, flops=1e9,
        )
        for place, (stream, kind, name) in enumerate(OPERATIONS)
    ]  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    steps = parser.parse_args().steps
    import pyarrow.parquet

    assert pyarrow.parquet  # what it takes itself is no part of what is measured
    with tempfile.TemporaryDirectory(dir=".") as folder:
        clock = StepClock(lambda: 0, folder=Path(folder))
        with Stage(f"{steps:,} steps taken down"):
            take_down(clock, steps)
        with Stage("tables made"):
            trace = clock.trace("modelled", Metadata())
        with Stage("recording written"):
            files.write(trace, Path(folder) / "r")
        print(
            f"{trace}; {sum(file.stat().st_size for file in (Path(folder) / 'r').iterdir()) >> 20:,} MB on disk"
        )


if __name__ == "__main__":
    main()
