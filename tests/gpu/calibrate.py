"""Fit the modelled GPU to measured steps and runs; print the error of each figure before and after.

    python tests/gpu/calibrate.py GPU STEPS RUN [RUN ...]
    python tests/gpu/calibrate.py host

The first fits the efficiencies of its kernels. GPU is h200 or the like; STEPS engine.json of
`tests/gpu/engine.py OUT steps`; RUN a folder of `run --device cuda`, of which count the median
decode step at several contexts and the step of prompts. Squared logarithms of the ratio of modelled
and measured are summed, prompts at a tenth, and the smallest sum is looked for at random, from a
seed. The constants it prints are for `idlescope/engine/devices/step_time.py`.

The second fits its host to the runs of reports/h200 and keeps a part of them out: `fit_host.py`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np

import idlescope
from idlescope.engine.devices import step_time
from idlescope.engine.devices.step_time import StepWork
from idlescope.hardware.gpus import GPU, gpu
from idlescope.models.presets import model
from tests.gpu import fit_host

FITTED = (
    "MATMUL_BANDWIDTH",
    "MATMUL_FEW_TOKENS",
    "ATTENTION_BANDWIDTH",
    "ATTENTION_FIXED_NS",
    "ELEMENTWISE_FLOOR_NS",
)
AT_MOST = {"MATMUL_BANDWIDTH": 0.95, "ATTENTION_BANDWIDTH": 0.95}
CONTEXTS = (300, 512, 1024, 2048, 4352, 6144, 8192)
AROUND = 12  # steps before and after a context
DECODE_WEIGHT, PROMPT_WEIGHT = 1.0, 0.1
ROUNDS = 3000


class Point(NamedTuple):
    """A measured step."""

    model: str
    what: str
    work: StepWork
    measured_ns: float
    weight: float


def decode_step(key: str, rows: int, context: int, measured_ns: float) -> Point:
    work = StepWork(rows, rows, rows * context, rows * context)
    return Point(key, f"batch {rows}, {context}", work, measured_ns, DECODE_WEIGHT)


def from_steps(path: Path) -> Iterator[Point]:
    for name, found in json.loads(path.read_text()).items():
        key, rows, context = name.removeprefix("step ").split()
        yield decode_step(key, int(rows), int(context), 1e6 * found["in a row ms"])


def from_run(folder: Path) -> Iterator[Point]:
    config = json.loads((folder / "summary.json").read_text())["config"]
    key, rows, prompt = config["model"], config["batch_size"], config["prompt_tokens"]
    operations = idlescope.open(folder / "async.recording").operations
    compute = operations.take(operations.stream == 1)
    step_ns = compute.end - compute.start
    for context in CONTEXTS:
        step = context - prompt
        if AROUND < step < len(step_ns) - AROUND:
            nearby = step_ns[step - AROUND : step + AROUND]
            yield decode_step(key, rows, context, float(np.median(nearby)))

    # the first step, where it has all prompts in it
    tokens = rows * prompt
    if tokens <= config["max_batch_tokens"]:
        work = StepWork(tokens, rows, tokens, tokens * (prompt + 1) // 2)
        what = f"prompts, {tokens} tokens"
        yield Point(key, what, work, float(step_ns[0]), PROMPT_WEIGHT)


def modelled_ns(peaks: GPU, point: Point) -> int:
    step_time._without_attention_ns.cache_clear()
    return step_time.step_ns(model(point.model), peaks, point.work)


def loss(peaks: GPU, points: list[Point]) -> float:
    ratios = (modelled_ns(peaks, point) / point.measured_ns for point in points)
    return sum(
        point.weight * math.log(ratio) ** 2
        for point, ratio in zip(points, ratios, strict=True)
    )


def compare(title: str, peaks: GPU, points: list[Point]) -> None:
    """Print how far each step is off."""
    print(title)
    errors = []
    for point in points:
        error = modelled_ns(peaks, point) / point.measured_ns - 1
        measured_ms = point.measured_ns / 1e6
        print(
            f"  {point.model:11} {point.what:22} {measured_ms:8.3f} ms {100 * error:+6.1f} %"
        )
        if point.weight == DECODE_WEIGHT:
            errors.append(abs(error))
    print(
        f"  decode: median {100 * np.median(errors):.1f} %, largest {100 * max(errors):.1f} %"
    )


def fit(peaks: GPU, points: list[Point]) -> None:
    """Move all constants at once by random amounts, and keep what is better.

    At once, for they make up for one another.
    """
    random, best, scale = np.random.default_rng(0), loss(peaks, points), 0.2
    for _ in range(ROUNDS):
        before = {name: getattr(step_time, name) for name in FITTED}
        for name, value in before.items():
            moved = value * math.exp(scale * random.normal())
            setattr(step_time, name, min(moved, AT_MOST.get(name, math.inf)))
        now = loss(peaks, points)
        if now < best:
            best, scale = now, min(0.3, 1.1 * scale)
        else:
            scale = max(0.005, 0.995 * scale)
            for name, value in before.items():
                setattr(step_time, name, value)
    for name in FITTED:
        print(f"{name} = {getattr(step_time, name):.4g}")


def fit_kernels(peaks: GPU, steps: Path, runs: list[Path]) -> None:
    points = [*from_steps(steps), *(point for run in runs for point in from_run(run))]
    compare("before", peaks, points)
    fit(peaks, points)
    compare("after", peaks, points)


if __name__ == "__main__":
    if sys.argv[1:] == ["host"]:
        fit_host.main()
    else:
        key, steps, *runs = sys.argv[1:]
        fit_kernels(gpu(key), Path(steps), [Path(run) for run in runs])
