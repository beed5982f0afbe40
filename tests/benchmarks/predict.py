"""How well predictions hold, and what they cost.

    python tests/benchmarks/predict.py                    # all of it; the CPU part needs idlescope[torch]
    python tests/benchmarks/predict.py replay scenarios   # parts of it

replay     100,000 random steps through a pipeline, batches formed anew included, and the costs
taken from a recording scenarios  the error of 400 random scenarios of tests/make/scenarios.py
against the engine on the modelled device cpu        the error of three configurations on the CPU
device, measured: median of 5 pairs of runs each
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from idlescope import RunConfig, run
from idlescope.analysis.prediction.device_costs import measure_costs
from idlescope.analysis.prediction.host_work import HostWork
from idlescope.analysis.prediction.rebatch import rebatch
from idlescope.analysis.prediction.recorded_steps import recorded_steps
from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.requests import Requests
from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.analysis.prediction.what_if import WhatIf
from tests.make.scenarios import scenario

STEPS, SCENARIOS, PAIRS = 100_000, 400, 5
CPU = {
    "one wave, 1 ms of host work": {"tokens": 150, "batch_size": 64, "host_ms": 1.0},
    "one wave, 3 ms of host work": {"tokens": 150, "batch_size": 64, "host_ms": 3.0},
    "four waves, mixed lengths, 1 ms": {
        "tokens": "uniform:40,120", "batch_size": 64, "requests": 256, "host_ms": 1.0, "prompt_tokens": 32,
    },
}  # fmt: skip


def timed(what, repeats: int = 5) -> float:
    """Median seconds of a call."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        what()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def replays() -> None:
    random = np.random.default_rng(0)
    costs = StepCosts(
        **{
            name: random.integers(10_000, 5_000_000, STEPS)
            for name in StepCosts.__struct_fields__
        }
    )
    for depth in (1, 2, 3):
        print(
            f"replay of {STEPS:,} steps, depth {depth}: {timed(lambda d=depth: replay(costs, d)):.3f} s"
        )
    # 32 rows, requests of 100 steps, one after the other
    start = np.repeat(np.arange(0, STEPS - 100, 100), 32) + np.tile(
        np.arange(32), (STEPS - 100 + 99) // 100
    )
    start = np.sort(start[start < STEPS - 100])
    of = Requests(start, start, start + 99, np.zeros(start.size, bool), 32)

    def formed_anew() -> None:
        anew = rebatch(costs, of, 2)
        replay(anew.costs, 2, anew.needs)

    print(
        f"the same, {start.size:,} requests put into batches anew: {timed(formed_anew):.3f} s"
    )
    config = RunConfig(model="tiny", tokens=10_000, prompt_tokens=1, batch_size=4, host_ms=1, device_ms=1,
                       device="modelled", mode="sync")  # fmt: skip
    sync = run(config).modes["sync"]
    taken = timed(lambda: measure_costs(HostWork(recorded_steps(sync.trace, sync.result))))
    print(f"costs of the {config.tokens:,} steps of a recording: {taken:.3f} s")


def scenarios() -> None:
    errors = []
    for seed in range(SCENARIOS):
        drawn = scenario(seed)
        sync, later = drawn.run("sync"), drawn.run("async")
        errors.append(
            Replays(sync.trace, sync.result).predict(WhatIf()).total_ns / later.total_ns
            - 1.0
        )
    size = np.abs(errors)
    quantiles = ", ".join(f"{name} {np.quantile(size, q):.3%}" for name, q in
                          (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("largest", 1.0)))  # fmt: skip
    print(
        f"error of {SCENARIOS} random scenarios: {quantiles}; over 2 %: {int((size > 0.02).sum())}"
    )


def cpu() -> None:
    """Where other programs want the cores, compute takes longer once the host works beside it: the second error is
    that of a prediction which is told by how much.
    """
    for name, options in CPU.items():
        errors, told, slower = [], [], []
        for seed in range(PAIRS):
            modes = run(RunConfig(model="tiny", device="cpu", seed=seed, **options)).modes
            sync, later = modes["sync"], modes["async"]
            made = Replays(sync.trace, sync.result)
            slower.append(
                float(
                    np.mean(later.result.steps.device) / np.mean(sync.result.steps.device)
                )
            )
            for kept, factor in ((errors, 1.0), (told, slower[-1])):
                kept.append(
                    made.predict(WhatIf(device=factor)).total_ns / later.total_ns - 1.0
                )
        each = ", ".join(f"{error:+.1%}" for error in errors)
        print(f"cpu, {name}: {statistics.median(errors):+.1%} ({each}); beside the host, a step of the device takes "
              f"{statistics.median(slower):.2f} times as long: told so, {statistics.median(told):+.1%} "
              f"({', '.join(f'{error:+.1%}' for error in told)})")  # fmt: skip


if __name__ == "__main__":
    parts = {"replay": replays, "scenarios": scenarios, "cpu": cpu}
    for part in sys.argv[1:] or parts:
        parts[part]()
