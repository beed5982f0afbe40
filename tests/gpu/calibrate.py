"""Fit the modelled GPU's efficiencies to measured steps; print the error of each figure before and after.

    python tests/gpu/calibrate.py GPU STEPS RUN [RUN ...]

GPU is h200 or the like; STEPS engine.json of `tests/gpu/engine.py OUT steps`; RUN a folder of `run --device cuda`, of
which count the median decode step at several contexts and the step of prompts. Squared logarithms of the ratio of
modelled and measured are summed, prompts at a tenth, and the smallest sum is looked for at random, from a seed. The
constants it prints are for `idlescope/engine/devices/step_time.py`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np

import idlescope
from idlescope.engine.devices import step_time
from idlescope.engine.devices.step_time import StepWork
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model

FITTED = (
    "MATMUL_BANDWIDTH", "MATMUL_FEW_TOKENS", "ATTENTION_BANDWIDTH", "ATTENTION_FIXED_NS", "ELEMENTWISE_FLOOR_NS",
)  # fmt: skip
AT_MOST = {"MATMUL_BANDWIDTH": 0.95, "ATTENTION_BANDWIDTH": 0.95}
CONTEXTS = (300, 512, 1024, 2048, 4352, 6144, 8192)
AROUND = 12  # steps before and after a context
PROMPTS_COUNT = 0.1
ROUNDS = 3000


def from_steps(path):
    for name, found in json.loads(path.read_text()).items():
        key, rows, context = name.removeprefix("step ").split()
        yield (
            key,
            f"batch {rows}, {context}",
            decode(int(rows), int(context)),
            1e6 * found["in a row ms"],
            1.0,
        )


def from_run(folder):
    config = json.loads((folder / "summary.json").read_text())["config"]
    trace = idlescope.open(folder / "async.recording")
    o = trace.operations
    compute = o.take(o.stream == 1)
    ns, rows, prompt = compute.end - compute.start, config["batch_size"], config["prompt_tokens"]
    for context in CONTEXTS:
        at = context - prompt
        if AROUND < at < len(ns) - AROUND:
            length = float(np.median(ns[at - AROUND : at + AROUND]))
            yield config["model"], f"batch {rows}, {context}", decode(rows, context), length, 1.0
    chunk = min(config["max_batch_tokens"], rows * prompt)
    if chunk == rows * prompt:
        pairs = rows * prompt * (prompt + 1) // 2
        yield (
            config["model"],
            f"prompts, {chunk} tokens",
            StepWork(chunk, rows, chunk, pairs),
            float(ns[0]),
            PROMPTS_COUNT,
        )


def decode(rows, context):
    return StepWork(rows, rows, rows * context, rows * context)


def modelled(point):
    step_time._without_attention_ns.cache_clear()
    return step_time.step_ns(model(point[0]), GPU, point[2])


def loss():
    return sum(
        weight * math.log(modelled(point) / point[3]) ** 2
        for point in points
        for weight in point[4:]
    )


def compare(title):
    errors = [modelled(point) / point[3] - 1 for point in points]
    print(title)
    for point, error in zip(points, errors, strict=True):
        print(f"  {point[0]:11} {point[1]:22} {point[3] / 1e6:8.3f} ms {100 * error:+6.1f} %")
    decoding = [abs(e) for e, point in zip(errors, points, strict=True) if point[4] == 1.0]
    print(
        f"  decode: median {100 * np.median(decoding):.1f} %, largest {100 * max(decoding):.1f} %"
    )


def fit():
    """Move all constants at once by random amounts, and keep what is better: they make up for one another."""
    rng, best, scale = np.random.default_rng(0), loss(), 0.2
    for _ in range(ROUNDS):
        was = {name: getattr(step_time, name) for name in FITTED}
        for name, value in was.items():
            moved = value * math.exp(scale * rng.normal())
            setattr(step_time, name, min(moved, AT_MOST.get(name, math.inf)))
        if (now := loss()) < best:
            best, scale = now, min(0.3, 1.1 * scale)
        else:
            scale = max(0.005, 0.995 * scale)
            for name, value in was.items():
                setattr(step_time, name, value)
    for name in FITTED:
        print(f"{name} = {getattr(step_time, name):.4g}")


if __name__ == "__main__":
    GPU, (steps, *runs) = gpu(sys.argv[1]), map(Path, sys.argv[2:])
    points = [*from_steps(steps), *(point for run in runs for point in from_run(run))]
    compare("before")
    fit()
    compare("after")
