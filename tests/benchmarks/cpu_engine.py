"""The engine on the CPU device: how much of the host's time asynchronous batching hides, how fast it is, how steady.

    pip install -e '.[bench]'            # torch, transformers, psutil
    python tests/benchmarks/cpu_engine.py [overlap|peer|long ...]

overlap  `tiny` at batch 256, host work of 40 % of the device step (`--host-ms`): the share of the gain of full overlap
         that asynchronous batching reaches. Full overlap is the synchronous run without its idle time. Modes alternate;
         median of 5 pairs. The same from the reports' own traces: idle of either mode.
peer     tokens/s against transformers' continuous batching: synchronous, sdpa, the same checkpoint and requests, one
         thread each, in one script by turns; median of 3: tiny at batch 32, a 0.5B-shaped model at batch 8
long     100,000 steps with random arrivals and cancellations: resident memory of both processes, and leaked blocks
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope import RunConfig, run
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine, ignore
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.models.presets import model

HALF_B = {  # the shape of Qwen2.5-0.5B, as a Llama
    "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "head_dim": 64,
    "intermediate_size": 4864, "vocab_size": 151936, "max_position_embeddings": 4096,
}  # fmt: skip


def overlap(rounds: int = 5) -> None:
    """Print the recovered share of each pair of runs, and the median."""
    common = {
        "model": "tiny",
        "device": "cpu",
        "prompt_tokens": 64,
        "tokens": 120,
        "batch_size": 256,
    }
    device_ms = (
        run(RunConfig(mode="sync", **common)).modes["sync"].summary(None)["device_ms_per_step"]
    )
    shares = []
    print(f"device step {device_ms:.2f} ms, host {0.4 * device_ms:.2f} ms")
    for _ in range(rounds):
        modes = run(RunConfig(host_ms=0.4 * device_ms, **common)).modes
        sync, fast = (modes[mode] for mode in ("sync", "async"))
        full = sync.total_ns - sync.result.occupancy.idle_ns
        shares.append((sync.total_ns - fast.total_ns) / (sync.total_ns - full))
        print(
            f"sync {sync.total_ns / 1e9:.3f} s, {sync.result.idle_pct:.1f} % idle; async {fast.total_ns / 1e9:.3f} s, "
            f"{fast.result.idle_pct:.1f} % idle; full overlap {full / 1e9:.3f} s: {shares[-1]:.1%} of its gain"
        )
    print(f"median {statistics.median(shares):.1%}")


def peer(rounds: int = 3) -> None:
    """Print tokens/s of both sides."""
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    import torch

    from tests.make.checkpoints import write

    torch.set_num_threads(1)
    for name, shape, batch, prompt, new in (("tiny", {}, 32, 32, 128), ("0.5B", HALF_B, 8, 32, 24)):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), **shape)
            pairs = [
                (ours(path, batch, prompt, new), theirs(path, batch, prompt, new))
                for _ in range(rounds)
            ]
        mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(
            f"{name}, batch {batch}: idlescope {mine:,.0f}, transformers {other:,.0f} tokens/s: {mine / other:.2f}x"
        )


def requests_for(batch: int, prompt: int, vocab: int) -> list[list[int]]:
    """Return the same random prompts for both sides."""
    return np.random.default_rng(0).integers(3, vocab, (batch, prompt)).tolist()


def ours(path: Path, batch: int, prompt: int, new: int) -> float:
    """Return the tokens/s of our engine, synchronous, its worker on one thread."""
    network = model(str(path))
    device = CpuDevice(Network(network, "float32"))
    device.threads = 1
    shape = Shape(batch, 2048, prompt + new, batch * -(-(prompt + new) // 16), 16)
    slots = device.open(shape, 1)
    try:
        for tokens in (2, new):  # the first warms up
            some = [
                Request(i, np.array(p, np.int32), tokens)
                for i, p in enumerate(requests_for(batch, prompt, 500))
            ]
            engine = Engine(device, slots, some, Silent())
            start = time.perf_counter()
            engine.run()
            seconds = time.perf_counter() - start
        return engine.tokens / seconds
    finally:
        device.close()


def theirs(path: Path, batch: int, prompt: int, new: int) -> float:
    """Return the tokens/s of transformers' continuous batching, synchronous, one thread."""
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    network = (
        AutoModelForCausalLM.from_pretrained(path, dtype="float32").eval().requires_grad_(False)
    )
    network.set_attn_implementation("sdpa")
    settings = ContinuousBatchingConfig(
        use_async_batching=False, use_cuda_graph=False, max_blocks_per_request=0, num_blocks=batch * 16,
        max_batch_tokens=2048,
    )  # fmt: skip
    for tokens in (2, new):
        generation = GenerationConfig(
            max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        manager = network.init_continuous_batching(
            generation_config=generation, continuous_batching_config=settings
        )
        manager.warmup()
        manager.add_requests(requests_for(batch, prompt, 500), max_new_tokens=tokens)
        start = time.perf_counter()
        manager.start()
        finished = made = 0
        while finished < batch and manager.is_running():
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                finished, made = finished + 1, made + len(result.generated_tokens)
        seconds = time.perf_counter() - start
        manager.stop(block=True, timeout=60)
    return made / seconds


class Silent:
    """A recorder that keeps nothing."""

    def __getattr__(self, name: str):
        return ignore_all


def ignore_all(*_: object) -> None:
    """Record nothing."""


def long(steps: int = 100_000) -> None:
    """Print resident memory along a run of random arrivals and cancellations, and what is left of the blocks."""
    import psutil

    rng = np.random.default_rng(0)
    device = CpuDevice(Network(model("tiny"), "float32"))
    shape = Shape(16, 64, 64, 16 * 5, 4)  # fewer blocks than all rows could fill: preemptions
    slots = device.open(shape, 2)
    engine = Engine(device, slots, [], Silent(), ignore)
    alive: list[Request] = []
    done = preempted = cancelled = 0
    sizes = []
    host, worker = psutil.Process(), psutil.Process(device._process.pid)
    start = time.perf_counter()
    try:
        while engine.steps < steps:
            while len(alive) < 24 and rng.random() < 0.7:
                prompt = rng.integers(0, 512, int(rng.integers(1, 30)), np.int32)
                alive.append(Request(done + len(alive), prompt, int(rng.integers(1, 34))))
                engine.scheduler.add(alive[-1])
            if alive and rng.random() < 0.02:
                engine.scheduler.cancel(alive[int(rng.integers(len(alive)))], engine.clock.now())
                cancelled += 1
            engine.step()
            if engine.scheduler.finished:
                preempted += sum(r.preemptions for r in engine.scheduler.finished)
                done += len(engine.scheduler.finished)
                engine.scheduler.finished.clear()
                alive = [r for r in alive if r.finish is None]
            if engine.steps % (steps // 20) == 0 and len(sizes) < engine.steps // (steps // 20):
                sizes.append((host.memory_info().rss / 1e6, worker.memory_info().rss / 1e6))
                print(
                    f"{engine.steps:>7} steps: host {sizes[-1][0]:.1f} MB, worker {sizes[-1][1]:.1f} MB",
                    flush=True,
                )
        for request in alive:
            engine.scheduler.cancel(request, engine.clock.now())
        while engine.step():
            pass
        leaked = shape.blocks - engine.scheduler.allocator.free
    finally:
        device.close()
    first, last = sizes[1], sizes[-1]
    print(
        f"{steps} steps in {time.perf_counter() - start:.0f} s, {done} requests, {cancelled} cancelled, {preempted} "
        f"preemptions; from a tenth to the end: host {last[0] / first[0] - 1:+.1%}, "
        f"worker {last[1] / first[1] - 1:+.1%}; blocks leaked: {leaked}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", default=["overlap", "peer", "long"])
    for part in parser.parse_args().part:
        {"overlap": overlap, "peer": peer, "long": long}[part]()
