"""Write a synthetic torch.profiler trace of any size, an event at a time: eager inference with Python frames.

    python tests/benchmarks/kineto_trace.py OUT.json --steps 50 --kernels 900

The layout is the profiler's own. A kernel's host side is nested frames around nested operators
around its launch call, and an arrow from the call to the kernel; the defaults are the proportions
of a real vLLM prefill trace on a B200. The host needs longer for a kernel than the GPU, so that the
GPU waits; every figure is known: see `idle_ns`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

PID, TID, STREAM = 4000, 4001, 7
FIRST = 400_000  # correlation ids of a long-lived process
BASE = 1_365_627_862_757_000  # ns: as large as in a real file, relative to its baseTimeNanoseconds
HOST, LAUNCH, KERNEL = 90_000, 5_123, 10_017  # ns: host work a kernel, launch to start, run
HEAD = """{
  "schemaVersion": 1,
  "deviceProperties": [
    {"id": 0, "name": "Synthetic GPU", "totalGlobalMem": 150109880320, "computeMajor": 9, "numSms": 132}
  ],
  "displayTimeUnit": "ms",
  "baseTimeNanoseconds": 1790857026000000000,
  "traceEvents": [
"""


def idle_ns(kernels: int) -> int:
    """Return the idle time of a trace of so many kernels, over all its steps."""
    return (kernels - 1) * (HOST - KERNEL)


def us(ns: int) -> str:
    """Return microseconds as the profiler writes them."""
    return f"{ns // 1000}.{ns % 1000:03d}"


def span(
    cat: str, name: str, start: int, end: int, args: str, pid: int = PID, tid: int = TID
) -> str:
    """Return a complete event."""
    return (
        f'  {{\n    "ph": "X", "cat": "{cat}", "name": "{name}", "pid": {pid}, "tid": {tid},\n'
        f'    "ts": {us(start)}, "dur": {us(end - start)},\n    "args": {{\n      {args}\n    }}\n  }}'
    )


def arrow(phase: str, number: int, at: int, pid: int, tid: int) -> str:
    """Return one end of a flow."""
    end = ', "bp": "e"' if phase == "f" else ""
    return (
        f'  {{\n    "ph": "{phase}", "id": {number}, "pid": {pid}, "tid": {tid}, "ts": {us(at)},\n'
        f'    "cat": "ac2g", "name": "ac2g"{end}\n  }}'
    )


def events(steps: int, kernels: int, operators: int, frames: int) -> Iterator[str]:
    """Yield the events of each step in turn; `operators` and `frames` are counts a kernel."""
    yield f'  {{\n    "name": "process_name", "ph": "M", "ts": {us(BASE)}, "pid": {PID}, "tid": 0,\n' \
          '    "args": {\n      "name": "python"\n    }\n  }'  # fmt: skip
    now, number = BASE, FIRST
    for step in range(steps):
        yield span(
            "user_annotation",
            f"ProfilerStep#{step}",
            now,
            now + kernels * HOST,
            f'"External id": {step}',
        )
        for _ in range(kernels):
            number += 1
            end = now + HOST - 1
            for depth in range(frames):
                name = f"engine/layers/module_{depth % 50}.py({depth + 10}): forward"
                yield span(
                    "python_function",
                    name,
                    now + 2 * depth,
                    end - depth,
                    f'"Python id": {number}, "Ev Idx": {depth}',
                )
            inner = now + 2 * frames
            for depth in range(operators):
                args = f'"External id": {number}, "Record function id": 0, "Concrete Inputs": ["", ""], "Ev Idx": {depth}'
                yield span(
                    "cpu_op",
                    f"aten::op_{depth}",
                    inner + 40 * depth,
                    end - frames - depth,
                    args,
                )
            call = now + HOST // 2
            args = f'"External id": {number}, "cbid": 211, "correlation": {number}'
            yield span("cuda_runtime", "cudaLaunchKernel", call, call + 4_000, args)
            args = (
                f'"External id": {number}, "queued": 0, "device": 0, "context": 1, "stream": {STREAM}, '
                f'"correlation": {number}, "registers per thread": 32, "shared memory": 0, "grid": [64, 1, 1], '
                '"block": [128, 1, 1], "est. achieved occupancy %": 0'
            )
            start = call + LAUNCH
            yield span(
                "kernel", f"kernel_{number % 40}", start, start + KERNEL, args, 0, STREAM
            )
            yield arrow("s", number, call, PID, TID)
            yield arrow("f", number, start, 0, STREAM)
            now += HOST


def make(
    path: Path, steps: int = 50, kernels: int = 900, operators: int = 5, frames: int = 16
) -> Path:
    """Write a trace and return its path."""
    with open(path, "w", buffering=1 << 20) as file:
        file.write(HEAD)
        for i, event in enumerate(events(steps, kernels, operators, frames)):
            file.write((",\n" if i else "") + event)
        file.write("\n  ]\n}\n")
    return path


def main() -> None:
    """Write the trace that the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    for name, default in (
        ("steps", 50),
        ("kernels", 900),
        ("operators", 5),
        ("frames", 16),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = vars(parser.parse_args())
    make(**options)


if __name__ == "__main__":
    main()
