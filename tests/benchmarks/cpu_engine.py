"""The engine on the CPU device: how much host time asynchronous batching hides, how fast it is.

    pip install -e '.[bench]'            # torch, transformers, psutil
    python tests/benchmarks/cpu_engine.py [overlap|peer|long ...]

overlap  `tiny` at batch 256, host work of 40 % of the device step (`--host-ms`): the share of the
         gain of full overlap that asynchronous batching reaches. Full overlap is the synchronous
         run without its idle time. Modes alternate; median of 5 pairs. The same from the reports'
         own traces: idle of either mode.
peer     tokens/s against transformers' continuous batching: synchronous, sdpa, the same checkpoint
         and requests, one thread each, in one script by turns; median of 3: tiny at batch 32, a
         0.5B-shaped model at batch 8
long     100,000 steps with random arrivals and cancellations: resident memory of both processes,
         and leaked blocks
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
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "max_position_embeddings": 4096,
}


def overlap(rounds: int = 5) -> None:
    """Print the recovered share of each pair of runs, and the median."""
    common = {
        "model": "tiny",
        "device": "cpu",
        "prompt_tokens": 64,
        "tokens": 120,
        "batch_size": 256,
    }
    alone = run(RunConfig(mode="sync", **common)).modes["sync"]
    device_ms = alone.result.steps.device.mean() / 1e6
    shares = []
    print(f"device step {device_ms:.2f} ms, host {0.4 * device_ms:.2f} ms")
    for _ in range(rounds):
        modes = run(RunConfig(host_ms=0.4 * device_ms, **common)).modes
        sync, later = modes["sync"], modes["async"]
        full_ns = sync.total_ns - sync.result.occupancy.idle_ns
        share = (sync.total_ns - later.total_ns) / (sync.total_ns - full_ns)
        shares.append(share)
        print(
            f"sync {sync.total_ns / 1e9:.3f} s, {sync.result.idle_pct:.1f} % idle; "
            f"async {later.total_ns / 1e9:.3f} s, {later.result.idle_pct:.1f} % idle; "
            f"full overlap {full_ns / 1e9:.3f} s: {share:.1%} of its gain"
        )
    print(f"median {statistics.median(shares):.1%}")


def peer(rounds: int = 3) -> None:
    """Print tokens/s of both sides."""
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    import torch

    from tests.make.checkpoints import write

    torch.set_num_threads(1)
    for name, shape, batch, prompt, new in (
        ("tiny", {}, 32, 32, 128),
        ("0.5B", HALF_B, 8, 32, 24),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), **shape)
            pairs = [
                (ours(path, batch, prompt, new), theirs(path, batch, prompt, new))
                for _ in range(rounds)
            ]
        our_rate, their_rate = (
            statistics.median(side) for side in zip(*pairs, strict=True)
        )
        print(
            f"{name}, batch {batch}: idlescope {our_rate:,.0f}, transformers {their_rate:,.0f} "
            f"tokens/s: {our_rate / their_rate:.2f}x"
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
            requests = [
                Request(index, np.array(ids, np.int32), tokens)
                for index, ids in enumerate(requests_for(batch, prompt, 500))
            ]
            engine = Engine(device, slots, requests, Silent())
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
        AutoModelForCausalLM.from_pretrained(path, dtype="float32")
        .eval()
        .requires_grad_(False)
    )
    network.set_attn_implementation("sdpa")
    settings = ContinuousBatchingConfig(
        use_async_batching=False,
        use_cuda_graph=False,
        max_blocks_per_request=0,
        num_blocks=batch * 16,
        max_batch_tokens=2048,
    )
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
    """Print resident memory along a long run, and how many blocks it leaked."""
    import psutil

    random = np.random.default_rng(0)
    device = CpuDevice(Network(model("tiny"), "float32"))
    shape = Shape(
        16, 64, 64, 16 * 5, 4
    )  # fewer blocks than all rows could fill: preemptions
    slots = device.open(shape, 2)
    engine = Engine(device, slots, [], Silent(), ignore)
    scheduler = engine.scheduler
    host, worker = psutil.Process(), psutil.Process(device._process.pid)

    alive: list[Request] = []
    ended = preempted = cancelled = 0
    sizes: list[tuple[float, float]] = []  # MB of host and worker, twenty times
    start = time.perf_counter()
    try:
        while engine.steps < steps:
            while len(alive) < 24 and random.random() < 0.7:
                alive.append(random_request(random, ended + len(alive)))
                scheduler.add(alive[-1])
            if alive and random.random() < 0.02:
                victim = alive[int(random.integers(len(alive)))]
                scheduler.cancel(victim, engine.clock.now())
                cancelled += 1
            engine.step()
            if scheduler.finished:
                preempted += sum(request.preemptions for request in scheduler.finished)
                ended += len(scheduler.finished)
                scheduler.finished.clear()
                alive = [request for request in alive if request.finish is None]
            if len(sizes) < engine.steps // (steps // 20):
                host_mb, worker_mb = (
                    side.memory_info().rss / 1e6 for side in (host, worker)
                )
                sizes.append((host_mb, worker_mb))
                print(
                    f"{engine.steps:>7} steps: host {host_mb:.1f} MB, worker {worker_mb:.1f} MB",
                    flush=True,
                )
        for request in alive:
            scheduler.cancel(request, engine.clock.now())
        while engine.step():
            pass
        leaked = shape.blocks - scheduler.allocator.free
    finally:
        device.close()
    host_growth, worker_growth = (
        last / first - 1 for first, last in zip(sizes[1], sizes[-1], strict=True)
    )
    print(
        f"{steps} steps in {time.perf_counter() - start:.0f} s, {ended} requests, "
        f"{cancelled} cancelled, {preempted} preemptions; from a tenth to the end: "
        f"host {host_growth:+.1%}, worker {worker_growth:+.1%}; blocks leaked: {leaked}"
    )


def random_request(random: np.random.Generator, number: int) -> Request:
    """Return a short request of random length."""
    prompt = random.integers(0, 512, int(random.integers(1, 30)), np.int32)
    return Request(number, prompt, int(random.integers(1, 34)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", default=["overlap", "peer", "long"])
    for part in parser.parse_args().part:
        {"overlap": overlap, "peer": peer, "long": long}[part]()
