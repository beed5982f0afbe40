"""transformers' continuous batching on a CUDA GPU, driven by `run --engine transformers`.

    python tests/gpu/peer.py OUT [TOKENS]      # needs torch, triton and transformers; flash-attn for the published path

First a tiny checkpoint: its float32 tokens must equal those of our engine on the CPU in both modes, its bfloat16 tokens
(with FlashAttention and graphs where there is flash-attn) be the same in both modes, and what the step clock recorded
must hold together. Then 8B, random bfloat16 weights, batch 32, 256 prompt and TOKENS new tokens (512), both modes.
Writes OUT/peer.json and OUT/8b, a report.
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
ANCHOR_NS = 20_000
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
        work = {"model": str(where), "tokens": "uniform:20,80", "prompt_tokens": "uniform:3,200",
                "batch_size": 8, "requests": 20}  # fmt: skip
        expected = outputs(run(RunConfig(**work, device="cpu", mode="sync")), "sync")
        for dtype in ("float32", "bfloat16"):
            result = run(RunConfig(**work, dtype=dtype, device="cuda", engine="transformers"))
            say(f"{dtype} notes", result.notes)
            if dtype == "bfloat16":
                expected = outputs(result, "sync")
            for mode, got in result.modes.items():
                own, o, steps = outputs(result, mode), got.trace.operations, got.result.steps
                waits = got.trace.calls.take(np.flatnonzero(got.result.waits))
                name = f"{dtype} {mode}"
                say(f"{name}: requests equal, of {len(expected)}", sum(own.get(i) == t for i, t in expected.items()))
                say(f"{name}: steps, operations, waits", (len(steps), len(o), len(waits)))
                say(f"{name}: launched early", int(steps.early.sum()))
                # within what two anchors may differ by
                say(f"{name}: one operation after the other", bool((o.start[1:] >= o.end[:-1] - ANCHOR_NS).all()))
                say(f"{name}: waits end after their compute", bool((waits.end >= o.end - ANCHOR_NS).all()))


def speed(tokens: int) -> None:
    config = RunConfig(engine="transformers", device="cuda", model="8b", tokens=tokens)
    result = run(config)
    (OUT / "8b").mkdir(exist_ok=True)
    folder.write_run(result, OUT / "8b")
    say("8b", {k: v for k, v in result.summary().items() if k != "config"})


right()
speed(int(sys.argv[2]) if len(sys.argv) > 2 else 512)
