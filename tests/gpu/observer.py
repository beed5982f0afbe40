"""What watching costs on a CUDA GPU: time a step and idle share, bare and under each way of recording.

    python tests/gpu/observer.py OUT [MODEL]      # OUT/observer.json; a C compiler for the NVTX probe, if there is one

bare          nothing is recorded: the time from step to step is read off the host's clock, as in
all rows step clock    what `idlescope run` always does, phases announced to nobody NVTX
the same with a tool attached that writes each call down (tests/capture/nvtx_probe.c) light, full
torch.profiler: all threads, then stacks and shapes, too

Idle by plain CUDA events: a pair of our own around the compute of every step, apart from the
engine's, over wall time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np
import torch

from idlescope.analysis.analyze import analyze
from idlescope.capture.announce import Announcer
from idlescope.capture.profiler import TorchProfiler, load_torch_profiler
from idlescope.capture.ranges import nvtx_listens
from idlescope.engine.devices.base import COMPUTE
from idlescope.engine.devices.cuda import CudaDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.experiment.run_own import frozen_heap
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS
from idlescope.trace.open import open_trace

ROWS, PROMPT, NEW = 32, 256, 160
FIRST, LAST = 60, 120  # the steps that are timed, and those that a profiler records
WARM_PROFILER = 5


class Nothing:
    """A recorder that takes nothing down."""

    def __getattr__(self, name):
        return lambda *arguments, **named: None


class Full(TorchProfiler):
    """torch.profiler with stacks and shapes."""

    def __init__(self):
        super().__init__()
        activities = [
            torch.profiler.ProfilerActivity.CPU,
            torch.profiler.ProfilerActivity.CUDA,
        ]
        self._profile = torch.profiler.profile(
            activities=activities, record_shapes=True, with_stack=True
        )


def measure(device, slots, mode, kind):
    requests = [Request(i, np.arange(PROMPT, dtype=np.int32) + i, NEW) for i in range(ROWS)]
    recorder = Nothing() if kind == "bare" else Announcer(device.clock.now, DEPTHS[mode])
    profiler = {"light": TorchProfiler, "full": Full}.get(kind, lambda: None)()
    engine = Engine(device, slots, requests, recorder)
    stamps, events, issue = [], [], device._compute
    stream = device._streams[COMPUTE]

    def watched(slot, batch):
        pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        pair[0].record(stream)
        issue(slot, batch)
        pair[1].record(stream)
        events.append(pair)

    def on_step(engine):
        step = engine.steps
        if profiler is not None and step == FIRST - WARM_PROFILER:
            profiler.warm()
        elif profiler is not None and step == FIRST:
            profiler.start()
        elif profiler is not None and step == LAST:
            profiler.stop()
        stamps.append(time.perf_counter_ns())

    device._compute = watched
    try:
        device.begin()
        with frozen_heap():
            engine.run(on_step)
    finally:
        del device._compute
    torch.cuda.synchronize()
    stamps = np.array(stamps)
    inside = slice(FIRST + 1, LAST - 2)
    between = events[FIRST + 1][0].elapsed_time(events[LAST - 2][0])
    busy = sum(a.elapsed_time(b) for a, b in events[FIRST + 1 : LAST - 2])
    found = {
        "step_ms": float(np.median(np.diff(stamps)[inside])) / 1e6,
        "idle_pct_by_plain_events": 100 * (1 - busy / between),
    }
    if kind != "bare":
        trace = recorder.trace(device.name, Metadata())
        window = analyze(trace, window=f"steps:{FIRST + 1}-{LAST - 3}").results[0]
        found["idle_pct_by_step_clock"] = window.idle_pct
        computing = trace.operations.take((trace.operations.stream == COMPUTE) & (trace.operations.step >= FIRST + 1)
                                          & (trace.operations.step < LAST - 2))  # fmt: skip
        length = int(computing.end.max() - computing.start.min())
        found["compute_idle_pct_by_step_clock"] = 100 * (
            1 - int((computing.end - computing.start).sum()) / length
        )
    if profiler is not None:
        path = OUT / f"{mode}-{kind}.json.gz"
        profiler.write(path)
        found["trace_bytes"] = path.stat().st_size
        result = analyze(open_trace(path)).results[0]
        found["idle_pct_by_profiler"] = result.idle_pct
        found["cause_pct_by_profiler"] = {
            k: 100 * v / result.occupancy.window_ns for k, v in result.gaps.totals().items()
        }
    return found


def main(key):
    kinds = (
        ("NVTX",)
        if nvtx_listens()
        else ("bare", "step clock", "light", "full", "step clock", "bare")
    )
    load_torch_profiler()
    shape = Shape(ROWS, 8192, PROMPT + NEW, ROWS * -(-(PROMPT + NEW) // 16), 16)
    network = Network(model(key), "bfloat16")
    rows = []
    for mode, depth in DEPTHS.items():
        device = CudaDevice(network)
        slots = device.open(shape, depth)
        try:
            for kind in ("warm-up", *kinds):
                found = measure(
                    device, slots, mode, "step clock" if kind == "warm-up" else kind
                )
                if kind != "warm-up":
                    rows.append({"mode": mode, "under": kind, **found})
                    print(rows[-1], flush=True)
        finally:
            device.close()
    return rows


if __name__ == "__main__":
    OUT, key = Path(sys.argv[1]), (sys.argv[2:] or ["8b"])[0]
    OUT.mkdir(parents=True, exist_ok=True)
    rows = main(key)
    if nvtx_listens():
        (OUT / "observer-nvtx.json").write_text(json.dumps(rows, indent=1))
        sys.exit()
    compiler = next((c for c in ("cc", "gcc") if shutil.which(c)), None)
    if compiler is not None:
        with tempfile.TemporaryDirectory() as folder:
            library = f"{folder}/libprobe.so"
            source = Path(__file__).resolve().parents[1] / "capture" / "nvtx_probe.c"
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True
            )
            environment = {
                **os.environ,
                "NVTX_INJECTION64_PATH": library,
                "NVTX_PROBE_OUT": f"{folder}/calls",
            }
            torch.cuda.empty_cache()
            subprocess.run(
                [sys.executable, __file__, OUT, key], env=environment, check=False
            )
        if (OUT / "observer-nvtx.json").exists():
            rows += json.loads((OUT / "observer-nvtx.json").read_text())
    (OUT / "observer.json").write_text(
        json.dumps({"gpu": torch.cuda.get_device_name(), "rows": rows}, indent=1)
    )
