"""Random runs whose costs are drawn for every step: what a prediction is held against.

The modelled device draws the cost of each step's host work and compute from a seed, by the number
of the step, so that the synchronous and the asynchronous run of one scenario meet the same costs in
the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope import RunConfig
from idlescope.engine.clock import VirtualClock, spread
from idlescope.engine.devices import modelled
from idlescope.engine.devices.step_time import StepWork
from idlescope.experiment.device_choice import kv_cache
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.run_own import run_mode
from idlescope.hardware.gpus import gpu

DRAWN = 20_000  # more steps than any scenario has
GPU = gpu("h200")


class DrawnClock(VirtualClock):
    """Spends on every phase what was drawn for its step; the API calls, of fixed cost, come on top."""

    def __init__(self, host_ns: np.ndarray) -> None:
        super().__init__({})
        self._host_ns = host_ns
        self._count: dict[int, int] = {}

    def end_phase(self, phase: int, start: int, rows: int) -> int:
        n = self._count[phase] = self._count.get(phase, -1) + 1
        cost = spread(int(self._host_ns[n])).get(phase, 0)
        self._jumped = max(self._jumped, start + cost)
        return self.now()


class DrawnDevice(modelled.ModelledDevice):
    """A modelled GPU whose decode steps take what its roofline says times what was drawn for them.

    A prompt in a step comes on top, undisturbed: the two modes compute it in different steps, with
    different draws.
    """

    def __init__(self, model, host_ns: np.ndarray, factor: np.ndarray) -> None:
        super().__init__(GPU, model)
        self.clock = DrawnClock(host_ns)
        self._factor = factor

    def submit(self, slot, batch):
        sampled = batch.sampled.size
        whole = modelled.step_ns(
            self.model,
            self.gpu,
            StepWork(batch.tokens, sampled, batch.context, batch.pairs),
        )
        decode = modelled.step_ns(
            self.model, self.gpu, StepWork(sampled, sampled, batch.context, batch.context)
        )
        drawn = round(decode * (self._factor[batch.step] - 1.0))
        self._device_ns = whole + (drawn if sampled else 0)
        return super().submit(slot, batch)


@dataclass(frozen=True)
class Scenario:
    """One configuration and its draws."""

    config: RunConfig
    host_ns: np.ndarray
    factor: np.ndarray

    def run(self, mode: str) -> ModeRun:
        """Run it in one mode."""
        shape, _ = kv_cache.shape(self.config, choose(self.config.device))
        device = DrawnDevice(self.config.architecture, self.host_ns, self.factor)
        return run_mode(self.config, mode, device, GPU, shape)


def scenario(seed: int) -> Scenario:
    """Draw a scenario: one wave of requests or several, of equal or of mixed lengths, with short or long prompts."""
    random = np.random.default_rng(seed)

    def one_of(*values):
        return values[random.integers(len(values))]

    batch, model = one_of(1, 4, 8, 32, 64), one_of("tiny", "1b", "8b")
    config = RunConfig(
        model=model, device="modelled:h200", tokens=one_of(100, "uniform:20,150", "lognormal:60,0.8"),
        prompt_tokens=one_of(64, "uniform:1,256", "lognormal:400,1.0"), batch_size=batch,
        requests=batch * one_of(1, 1, 2, 3, 8), max_batch_tokens=one_of(512, 2048, 8192),
        stop_at_eos=one_of(True, False), seed=seed,
    )  # fmt: skip
    # 0.2 to 12 ms of host work a step; the toy's vocabulary is small enough for requests to stop by
    # themselves, and its steps are made as long as those of a model of use
    median = float(np.exp(random.uniform(np.log(0.2e6), np.log(12e6))))
    factor = 40.0 if model == "tiny" else 1.0
    return Scenario(config, heavy(random, median).astype(np.int64), heavy(random, factor))


def heavy(random: np.random.Generator, median: float) -> np.ndarray:
    """Draw one cost a step: log-normal about a median, and one in a hundred of them up to ten times as much."""
    values = median * random.lognormal(0.0, random.uniform(0.02, 0.3), DRAWN)
    late = random.random(DRAWN) < 0.01
    return np.where(
        late, values * np.minimum(1.0 + random.pareto(1.5, DRAWN), 10.0), values
    )
