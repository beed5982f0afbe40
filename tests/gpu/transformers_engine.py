"""transformers' continuous batching on a CUDA GPU, driven by `run --engine transformers`.

    python tests/gpu/transformers_engine.py OUT [PART ...]      # parts: right, speed; flash-attn for the published path

right   a tiny checkpoint: its float32 tokens must equal those of our engine on the CPU in both modes, its bfloat16 ones
        (with FlashAttention and graphs where there is flash-attn) be the same in both modes, and what the step clock
        recorded must hold together
speed   8B, random bfloat16 weights, batch 32, 256 prompt and 512 new tokens, both modes: idle as the step clock has it,
        beside what plain CUDA events say that are recorded in the same run

Needs torch, triton and transformers. Writes OUT/transformers.json and, of the latter, OUT/8b, a
report.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope import RunConfig, run
from idlescope.capture.transformers.hook import Hook
from idlescope.report import run_report
from tests.make import checkpoints

OUT = Path(sys.argv[1])
ANCHOR_NS = 20_000
POINTS = 0.5  # of idle, which two ways of measuring it may differ by
found: dict[str, object] = {}


def say(key: str, value: object) -> None:
    found[key] = value
    (OUT / "transformers.json").write_text(json.dumps(found, indent=1))
    print(f"{key}: {value}", flush=True)


def outputs(result, mode):
    return {r.id: r.output for r in result.modes[mode].finished}


def right() -> None:
    with tempfile.TemporaryDirectory() as place:
        where = checkpoints.write(Path(place), initializer_range=0.1)
        work = {"model": str(where), "tokens": "uniform:20,80", "prompt_tokens": "uniform:3,200",
                "batch_size": 8, "requests": 20, "max_batch_tokens": 256}  # fmt: skip
        expected = outputs(run(RunConfig(**work, device="cpu", mode="sync")), "sync")
        for dtype in ("float32", "bfloat16"):
            result = run(
                RunConfig(**work, dtype=dtype, device="cuda", engine="transformers")
            )
            say(f"{dtype} notes", result.notes)
            if dtype == "bfloat16":
                expected = outputs(result, "sync")
            for mode, got in result.modes.items():
                own, o, steps = (
                    outputs(result, mode),
                    got.trace.operations,
                    got.result.steps,
                )
                waits = got.trace.calls.take(np.flatnonzero(got.result.waits))
                name = f"{dtype} {mode}"
                say(
                    f"{name}: requests equal, of {len(expected)}",
                    sum(own.get(i) == t for i, t in expected.items()),
                )
                say(f"{name}: steps, operations, waits", (len(steps), len(o), len(waits)))
                say(f"{name}: launched early", int(steps.early.sum()))
                # within what two anchors may differ by
                say(
                    f"{name}: one operation after the other",
                    bool((o.start[1:] >= o.end[:-1] - ANCHOR_NS).all()),
                )
                say(
                    f"{name}: waits end after their compute",
                    bool((waits.end >= o.end - ANCHOR_NS).all()),
                )


class PlainEvents:
    """CUDA events around each `compute_batch` of a batch processor: the first again before a graph's launch."""

    def __init__(self, processor):
        self.pairs = []
        self.stream = processor.inputs_and_outputs.compute_stream
        runner, slots = processor.model_runner, processor.inputs_and_outputs
        runner.compute_batch = self.around(runner.compute_batch)
        slots.get_graph = self.looking_up(slots.get_graph)

    def around(self, compute):
        def wrapped(*args, **kwargs):
            self.first = torch.cuda.Event(enable_timing=True)
            last = torch.cuda.Event(enable_timing=True)
            self.first.record(self.stream)
            result = compute(*args, **kwargs)
            last.record(self.stream)
            self.pairs.append((self.first, last))
            return result

        return wrapped

    def looking_up(self, get_graph):
        def wrapped(*args, **kwargs):
            graph = get_graph(*args, **kwargs)
            if graph is not None:
                self.first.record(self.stream)
            return graph

        return wrapped

    def idle(self):
        """Return idle in per cent from the first event to the last, and compute in ms a step."""
        torch.cuda.synchronize()
        busy = sum(first.elapsed_time(last) for first, last in self.pairs)
        window = self.pairs[0][0].elapsed_time(self.pairs[-1][1])
        return 100 * (1 - busy / window), busy / len(self.pairs)


def run_beside_events(config):
    """Return a run, and the plain events that were recorded beside each mode."""
    recorded, attached = [], Hook.attached

    def attached_too(hook, processor, requests):
        recorded.append(PlainEvents(processor))
        return attached(hook, processor, requests)

    Hook.attached = attached_too
    try:
        result = run(config)
    finally:
        Hook.attached = attached
    return result, dict(zip(result.modes, recorded, strict=True))


def speed() -> None:
    result, events = run_beside_events(
        RunConfig(engine="transformers", device="cuda", model="8b", tokens=512)
    )
    for mode, plain in events.items():
        idle, compute_ms = plain.idle()
        own = result.modes[mode].result
        say(f"8b {mode}: idle in one run", {
            "plain events %": idle, "step clock %": own.idle_pct, "points apart": abs(idle - own.idle_pct),
            "within": abs(idle - own.idle_pct) <= POINTS, "steps": len(plain.pairs),
            "compute ms, plain events": compute_ms, "compute ms, step clock": float(own.steps.device.mean()) / 1e6,
        })  # fmt: skip
    (OUT / "8b").mkdir(exist_ok=True)
    run_report.write_run(result, OUT / "8b")
    say("8b", {k: v for k, v in result.summary().items() if k != "config"})


if __name__ == "__main__":
    for part in sys.argv[2:] or ("right", "speed"):
        {"right": right, "speed": speed}[part]()
