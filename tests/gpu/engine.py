"""The engine on a CUDA GPU: is it right, does it wait where it should not, how fast is it?

    python tests/gpu/engine.py OUT [PART ...]      # needs torch and transformers; parts: right, guard, speed, steps

right   float32 tokens of Llama and Qwen3 checkpoints equal transformers' `generate()` for prompts of mixed length, in
        both modes, with and without graphs, with chunked prefill and few KV blocks; bfloat16 agreement is counted;
        each thing broken on purpose changes the tokens
guard   `--sync-check error` finds nothing in either mode, and finds an `.item()` and a pageable copy that are put in
speed   8B, random bfloat16 weights, batch 32, 256 prompt and 512 new tokens, both modes, by turns
steps   decode steps of several models, batch sizes and contexts, their graphs replayed alone and in a row, beside what
        reading weights and cache takes at the bandwidth that was measured of an H200

Prints what it finds and writes OUT/engine.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope.analysis.analyze import analyze
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.base import COMPUTE
from idlescope.engine.devices.cuda import CudaDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import EngineError
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS

OUT = Path(sys.argv[1])
READ_BYTES_PER_S = 4.37e12  # of an H200: a sum over 8 GB (2026-11-23)
STEPS = {
    ("8b", 32): (256, 270, 300, 350, 420, 512, 1024, 2048, 4352, 8192),
    **{(key, rows): (356, 2048) for key in ("qwen3-0.6b", "1b", "3b", "8b") for rows in (1, 8, 32, 128)
       if (key, rows) != ("8b", 32)},
}  # fmt: skip
found: dict[str, object] = {}


def say(key: str, value: object) -> None:
    found[key] = value
    (OUT / "engine.json").write_text(json.dumps(found, indent=1))
    print(f"{key}: {value}", flush=True)


def run(
    device: CudaDevice,
    shape: Shape,
    depth: int,
    requests: list[Request],
    warm: int = 0,
    spoil=None,
):
    """Return the engine, its recording and the seconds that the run took."""
    slots = device.open(shape, depth)
    try:
        if warm:
            prompts = [
                Request(i, np.arange(16, dtype=np.int32), warm) for i in range(shape.rows)
            ]
            Engine(device, slots, prompts, StepClock(device.clock.now)).run()
        recorder = StepClock(device.clock.now)
        engine = Engine(device, slots, requests, recorder)
        if spoil is not None:
            spoil(engine, device)
        device.begin()
        start = time.perf_counter()
        engine.run()
        return engine, recorder, time.perf_counter() - start
    finally:
        device.close()


def mixed_requests(count: int, tokens: int, vocab: int) -> list[Request]:
    rng = np.random.default_rng(0)
    return [
        Request(i, rng.integers(0, vocab, rng.integers(1, 100), np.int32), tokens)
        for i in range(count)
    ]


def right() -> None:
    from transformers import AutoModelForCausalLM

    from tests.make.checkpoints import write

    tokens, count = 24, 64
    shapes = {
        "roomy": Shape(32, 4096, 124, 32 * 8, 16),
        "chunked": Shape(16, 48, 124, 16 * 8, 16),
        "few blocks": Shape(16, 48, 124, 45, 8),
    }
    for family in ("llama", "qwen3"):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), family, seed=1, initializer_range=0.3)
            reference = AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.float32
            ).cuda()
            expected = []
            for request in mixed_requests(count, tokens, 512):
                ids = torch.tensor(request.prompt[None].astype(np.int64)).cuda()
                out = reference.generate(
                    ids, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0,
                    attention_mask=torch.ones_like(ids),
                )  # fmt: skip
                expected.append(out[0, ids.shape[1] :].tolist())
            for dtype in ("float32", "bfloat16"):
                network = Network(model(str(path)), dtype)
                for name, shape in (
                    shapes.items() if dtype == "float32" else [("roomy", shapes["roomy"])]
                ):
                    for mode, depth in DEPTHS.items():
                        for graphs in (True, False):
                            requests = mixed_requests(count, tokens, 512)
                            engine, _, _ = run(
                                CudaDevice(network, graphs), shape, depth, requests
                            )
                            same = [
                                r.output == e
                                for r, e in zip(requests, expected, strict=True)
                            ]
                            one = np.mean([a == b for r, e in zip(requests, expected, strict=True)
                                           for a, b in zip(r.output, e, strict=True)])  # fmt: skip
                            key = f"{family} {dtype} {name} {mode} {'graphs' if graphs else 'eager'}"
                            preempted = sum(r.preemptions for r in requests)
                            say(key, {"requests equal": f"{sum(same)}/{count}", "tokens equal": float(one),
                                      "preemptions": preempted, "steps": engine.steps})  # fmt: skip
            spoiled(
                Network(model(str(path)), "float32"),
                shapes["roomy"],
                expected,
                tokens,
                count,
            )


def spoiled(
    network: Network, shape: Shape, expected: list[list[int]], tokens: int, count: int
) -> None:
    def one_buffer(engine, device):
        engine._slots[1] = engine._slots[0]

    def no_wait(engine, device):
        issue = device._issue

        def careless(stream, waits_for, slot, batch):
            decode = batch.step > 2  # before, what is not waited for is no step at all
            if decode and stream == 0:
                with torch.cuda.stream(device._streams[0]):
                    torch.cuda._sleep(20_000_000)
            issue(stream, None if decode and stream == 1 else waits_for, slot, batch)

        device._issue = careless

    def carry_off_by_one(engine, device):
        for slot in engine._slots:

            def wrong(batch, rows, slot=slot, fill=slot.fill):
                fill(batch, rows)
                carry = slot.tokens[: batch.tokens, 2]
                carry[carry >= 0] = (carry[carry >= 0] + 1) % max(batch.sampled.size, 1)

            slot.fill = wrong

    for spoil in (one_buffer, no_wait, carry_off_by_one):
        requests = mixed_requests(count, tokens, 512)
        try:
            run(CudaDevice(network), shape, 2, requests, spoil=spoil)
            same = sum(r.output == e for r, e in zip(requests, expected, strict=True))
            verdict = f"{'caught' if same < count else 'NOT CAUGHT'}, {same}/{count} requests equal"
        except EngineError as error:
            verdict = f"caught, {error}"
        say(f"broken: {spoil.__name__}", verdict)


def guard() -> None:
    shape = Shape(8, 512, 124, 64, 16)
    network = Network(model("tiny"), "bfloat16")
    for depth in DEPTHS.values():
        run(
            CudaDevice(network, sync_check="error"),
            shape,
            depth,
            mixed_requests(16, 24, 512),
        )
    say("sync-check error, clean loop", "no complaint")
    there = torch.ones(4, device="cuda")

    def item(emitted):
        there.sum().item()

    def pageable(emitted):
        there.copy_(torch.ones(4), non_blocking=True)

    def tolist(emitted):
        there.tolist()

    for emit in (item, tolist, pageable):
        for mode in ("error", "warn"):
            device = CudaDevice(network, sync_check=mode)

            def hook(engine, device, emit=emit):
                engine.emit = emit

            try:
                run(device, shape, 2, mixed_requests(8, 8, 512), spoil=hook)
                say(f"{emit.__name__} {mode}", device.notes())
            except EngineError as error:
                say(f"{emit.__name__} {mode}", str(error))


def speed(
    key: str = "8b", rows: int = 32, new: int = 512, block: int = 16, rounds: int = 2
) -> None:
    shape = Shape(rows, 8192, 256 + new, rows * -(-(256 + new) // block), block)
    network = Network(model(key), "bfloat16")
    for turn in range(rounds):
        for mode, depth in DEPTHS.items():
            rng = np.random.default_rng(0)
            requests = [
                Request(i, rng.integers(0, 1000, 256, np.int32), new) for i in range(rows)
            ]
            started = time.perf_counter()
            device = CudaDevice(network)
            engine, recorder, seconds = run(device, shape, depth, requests, warm=8)
            trace = recorder.trace(device.name, Metadata())
            result = analyze(trace).results[0]
            compute = trace.operations.kind == 3
            lengths = (trace.operations.end - trace.operations.start)[compute]
            say(f"{key} {rows} {new} {mode} {turn}", {
                "seconds": seconds, "set-up seconds": time.perf_counter() - started - seconds,
                "tokens/s": engine.tokens / seconds,
                "idle %": 100 * result.occupancy.idle_ns / result.occupancy.window_ns,
                "compute idle %": 100 * (1 - result.occupancy.compute_ns / result.occupancy.window_ns),
                "step ms": {p: float(np.percentile(lengths, p)) / 1e6 for p in (10, 50, 90)},
                "gaps": result.gaps.totals(), "host": result.host_ns,
                "verdict": result.verdict.text,
                "tokens": int(np.sum([r.output for r in requests])),
            })  # fmt: skip


def steps(replays: int = 40, block: int = 16) -> None:
    for (key, rows), contexts in STEPS.items():
        longest = max(contexts) + block
        shape = Shape(rows, 512, longest, rows * -(-longest // block), block)
        device = CudaDevice(Network(model(key), "bfloat16"))
        slots = device.open(shape, 2)
        graphs = [device._captured[rows, slot] for slot in range(2)]
        for cache in device._forward.decoder.keys + device._forward.decoder.values:
            cache.normal_()
        for context in contexts:
            for slot, packed, there in zip(
                slots, device._inputs, device._forward.inputs, strict=True
            ):
                decoding(slot, rows, context)
                there.copy_(packed)
            torch.cuda.synchronize()
            with torch.cuda.stream(device._streams[COMPUTE]):
                alone = [replayed(graphs[:1]) for _ in range(replays)]
                row = replayed(graphs * (replays // 2))
            least = (
                2 * model(key).step_params + rows * context * model(key).kv_bytes_per_token
            ) / READ_BYTES_PER_S
            found = {
                "alone ms": float(np.median(alone)),
                "in a row ms": row,
                "times reading": row / (1e3 * least),
            }
            say(f"step {key} {rows} {context}", found)
        device.close()


def decoding(slot, rows, context) -> None:
    """Fill a slot with a step of rows that all have so many tokens, in scattered blocks."""
    block, last = slot.shape.block_size, context - 1
    slot.header[:] = rows, rows, rows, 0
    slot.rows[:] = slot.sample_at[:] = np.arange(rows)
    slot.query_end[:], slot.context[:] = np.arange(1, rows + 1), context
    scattered = np.random.default_rng(0).permutation(slot.shape.blocks).reshape(rows, -1)
    slot.table[:] = scattered[:, : slot.table.shape[1]]
    slot.tokens[:rows, 0], slot.tokens[:rows, 1], slot.tokens[:rows, 2] = (
        np.arange(rows),
        last,
        -1,
    )
    slot.tokens[:rows, 3] = slot.table[:, last // block] * block + last % block


def replayed(graphs) -> float:
    """Return the milliseconds that each of these graphs takes, launched one behind the other."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for graph in graphs:
        graph.replay()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / len(graphs)


if __name__ == "__main__":
    print(torch.__version__, torch.cuda.get_device_name())
    for part in sys.argv[2:] or ("right", "guard", "speed"):
        {"right": right, "guard": guard, "speed": speed, "steps": steps}[part]()
