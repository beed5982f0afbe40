"""Record small batching loops of known kind on a GPU, for the analysis to tell apart.

    python tests/gpu/batching_loops.py OUT     # on a machine with a CUDA GPU; needs torch alone, about a minute

Each loop runs the same CUDA graph (about 4 ms) and the same host work (about 1.5 ms) a step, and
differs in one thing:

sync       the host waits for each step's token before it prepares the next
async      three streams, two slots: step N+1 is launched before the token of step N is waited for
item       the same, with an `.item()` on the last step's output in the preparation
pageable   the same, with the token copied to memory that is not pinned, `non_blocking=True`
eager      no graph: hundreds of small kernels launched one by one
copies     the weights are copied to the device anew in each step

The traces, OUT/<loop>.json.gz, are torch.profiler's, of 12 steps after warm-up.
`tests/analysis/test_batching.py` says what the analysis makes of those committed as
tests/fixtures/loop_*.json.gz.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

WARM_UP, STEPS = 6, 12
HOST_S = 1.5e-3
SIZE, LAYERS = 4096, 24  # 24 products of 4096 x 4096 bf16 take about 4 ms on an H100
KEPT = {
    "kernel",
    "gpu_memcpy",
    "gpu_memset",
    "cuda_runtime",
    "cuda_driver",
    "user_annotation",
    "cpu_op",
    "overhead",
}


class Slot:
    """Input and output buffers of one step in flight."""

    def __init__(self, weight: torch.Tensor, small: bool, pinned: bool) -> None:
        self.host_in = torch.zeros(32, dtype=torch.float32, pin_memory=True)
        self.input = torch.zeros(32, device="cuda")
        self.output = torch.zeros(32, device="cuda")
        self.host_out = torch.zeros(32, pin_memory=pinned)
        self.copied, self.computed, self.done = (torch.cuda.Event() for _ in range(3))
        self.weight, self.small = weight, small
        self.state = torch.randn(
            32 if small else SIZE, SIZE, device="cuda", dtype=torch.bfloat16
        )

    def compute(self) -> None:
        x = self.state
        for _ in range(LAYERS * (8 if self.small else 1)):
            x = torch.relu(x @ self.weight) if self.small else x @ self.weight
        self.output.copy_(x[:32, 0].float() + self.input)


def prepare(slot: Slot) -> None:
    with record_function("prepare_inputs"):
        until = time.perf_counter() + HOST_S
        while time.perf_counter() < until:
            pass
        slot.host_in += 1


def run(kind: str, out: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) / SIZE**0.5
    again = weight.cpu().pin_memory()
    small, depth = kind == "eager", 1 if kind in ("sync", "eager", "copies") else 2
    slots = [Slot(weight, small, pinned=kind != "pageable") for _ in range(2)]
    h2d, compute, d2h = (torch.cuda.Stream() for _ in range(3))
    graphs = []
    with torch.cuda.stream(compute):
        for slot in slots:
            slot.compute()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            if kind != "eager":
                with torch.cuda.graph(
                    graph, stream=compute, capture_error_mode="thread_local"
                ):
                    slot.compute()
            graphs.append(graph)

    def submit(n: int) -> None:
        slot = slots[n % 2]
        with torch.cuda.stream(h2d):
            slot.input.copy_(slot.host_in, non_blocking=True)
            if kind == "copies":
                for _ in range(8):
                    weight.copy_(again, non_blocking=True)
            slot.copied.record()
        with torch.cuda.stream(compute):
            compute.wait_event(slot.copied)
            slot.compute() if kind == "eager" else graphs[n % 2].replay()
            slot.computed.record()
        with torch.cuda.stream(d2h):
            d2h.wait_event(slot.computed)
            slot.host_out.copy_(slot.output, non_blocking=True)
            slot.done.record()

    def step(n: int) -> None:
        prepare(slots[n % 2])
        if kind == "item" and n:
            with torch.cuda.stream(compute), record_function("check_finished"):
                slots[(n - 1) % 2].output[0].item()
        submit(n)
        if n + 1 >= depth:
            with record_function("retrieve"):
                slots[(n + 1 - depth) % 2].done.synchronize()

    settings = schedule(wait=0, warmup=WARM_UP, active=STEPS, repeat=1)
    with profile(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], schedule=settings
    ) as profiler:
        for n in range(WARM_UP + STEPS):
            step(n)
            profiler.step()
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(out / f"{kind}.json"))
    document = json.loads((out / f"{kind}.json").read_text())
    document["traceEvents"] = [
        e for e in document["traceEvents"] if e.get("cat") in KEPT or e.get("ph") == "M"
    ]
    document = {
        k: v
        for k, v in document.items()
        if k in ("schemaVersion", "deviceProperties", "traceEvents", "baseTimeNanoseconds")
    }
    (out / f"{kind}.json").unlink()
    with gzip.GzipFile(out / f"{kind}.json.gz", "wb", 9, mtime=0) as file:
        file.write(json.dumps(document, separators=(",", ":")).encode())
    print(kind, len(document["traceEvents"]), "events")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(torch.__version__, torch.cuda.get_device_name())
    for name in sys.argv[2:] or ("sync", "async", "item", "pageable", "eager", "copies"):
        run(name, folder)
