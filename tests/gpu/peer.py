"""transformers' continuous batching on a CUDA GPU, driven by `run --engine transformers`.

    python tests/gpu/peer.py OUT [TOKENS]      # needs torch, triton and transformers; flash-attn for the published path

First, tokens: of a tiny float32 checkpoint, synchronous and asynchronous, with graphs and without, they must equal those
of our engine on the CPU; and what the step clock recorded must hold together. Then 8B, random bfloat16 weights, batch
32, 256 prompt and TOKENS new tokens (512), both modes. Writes OUT/peer.json and OUT/8b, a report.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope import RunConfig, run
from idlescope.report import folder
from tests import checkpoints

OUT = Path(sys.argv[1])
found: dict[str, object] = {}


def say(key: str, value: object) -> None:
    found[key] = value
    (OUT / "peer.json").write_text(json.dumps(found, indent=1))
    print(f"{key}: {value}", flush=True)


def outputs(result, mode):
    return {r.id: r.output for r in result.modes[mode].finished}


def right() -> None:
    with tempfile.TemporaryDirectory() as place:
        where = checkpoints.write(Path(place), initializer_range=0.1)
        work = {"model": str(where), "dtype": "float32", "tokens": "uniform:20,80", "prompt_tokens": "uniform:3,200",
                "batch_size": 8, "requests": 20}  # fmt: skip
        expected = outputs(run(RunConfig(**work, device="cpu", mode="sync")), "sync")
        for graphs in (True, False):
            result = run(RunConfig(**work, device="cuda", engine="transformers", graphs=graphs))
            name = "graphs" if graphs else "eager"
            say(f"{name} notes", result.notes)
            for mode, got in result.modes.items():
                own = outputs(result, mode)
                say(f"{name} {mode} requests equal", sum(own.get(i) == tokens for i, tokens in expected.items()))
                o, steps = got.trace.operations, got.result.steps
                say(f"{name} {mode} steps, operations", (len(steps), len(o)))
                say(f"{name} {mode} operations in order", bool((o.start[1:] >= o.end[:-1] - 2000).all()))
                say(f"{name} {mode} launched early", int(steps.early.sum()))
                waits = got.trace.calls.take(np.flatnonzero(got.result.waits))
                # the host's wait ends after the compute that it is for
                say(f"{name} {mode} waits end after compute", bool((waits.end >= o.end - 2000).all()))


def speed(tokens: int) -> None:
    config = RunConfig(engine="transformers", device="cuda", model="8b", tokens=tokens)
    result = run(config)
    (OUT / "8b").mkdir(exist_ok=True)
    folder.write_run(result, OUT / "8b")
    say("8b", {k: v for k, v in result.summary().items() if k != "config"})


right()
speed(int(sys.argv[2]) if len(sys.argv) > 2 else 512)
