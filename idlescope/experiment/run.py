"""Run the engine on a device in one or both modes, and gather the figures of each."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from idlescope import __version__
from idlescope.analysis.analyze import analyze
from idlescope.analysis.idle.host_time import NO_DEMAND
from idlescope.analysis.intervals import percent
from idlescope.analysis.latency import Figures, latencies
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.roofline import achieved_pct
from idlescope.capture import nsys
from idlescope.capture.announce import Announcer
from idlescope.capture.ranges import nvtx_problem
from idlescope.capture.step_clock import StepClock
from idlescope.capture.window import ProfiledSteps, StepWindow
from idlescope.engine.clock import Clock
from idlescope.engine.devices.base import Device
from idlescope.engine.loop import Engine
from idlescope.engine.requests import Finish, Request
from idlescope.engine.running_rows import Shape
from idlescope.engine.workload import Workload
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice import devices
from idlescope.experiment.nsys import record
from idlescope.experiment.profiled import Profiled, compare
from idlescope.hardware.gpus import GPU
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import DEPTHS

SCHEMA = 1
WORTH_SAYING = 1.005  # a smaller speed-up is called little
HOST_BOUND_IDLE_PCT = (
    5.0  # idle that is left in asynchronous batching is host work that no overlap hides
)


class Running(Protocol):
    """An engine at work: its run's time, its device's busy time and the tokens so far."""

    @property
    def clock(self) -> Clock:
        """Return the clock that the run is timed by."""

    @property
    def tokens(self) -> int:
        """Return how many tokens there are so far."""

    def busy_ns(self) -> int:
        """Return the compute time of the run's steps so far."""


Progress = Callable[[str, Running], None]


@dataclass(frozen=True)
class ModeRun:
    """One mode's recording and what it shows."""

    mode: str
    trace: Trace
    analysis: Analysis
    total_ns: int  # from the first scheduling to the last update
    tokens: int
    finished: tuple[Request, ...]
    interrupted: bool
    profiled: Profiled | None = None

    @property
    def result(self) -> DeviceResult:
        """Return the figures of the run's one device."""
        return self.analysis.results[0]

    def summary(self, gpu: GPU | None) -> dict[str, Any]:
        """Return the mode's entry of summary.json."""
        result, steps = self.result, self.result.steps
        window = result.occupancy.window_ns
        roofline = achieved_pct(result.operations, window, gpu) if gpu else None
        return {
            "steps": len(steps),
            "requests": len(self.finished),
            "tokens": self.tokens,
            "total_s": self.total_ns / 1e9,
            "tokens_per_s": self.tokens / (self.total_ns / 1e9),
            "active_pct": 100.0 * result.occupancy.active_ns / window,
            "compute_pct": 100.0 * result.occupancy.compute_ns / window,
            "idle_ms_per_step": result.occupancy.idle_ns / len(steps) / 1e6,
            "host_ms_per_step": float(np.mean(steps.host)) / 1e6,
            "device_ms_per_step": float(np.mean(steps.device)) / 1e6,
            "roofline_pct": roofline,
            "window_s": window / 1e9,
            "idle_ns": result.occupancy.idle_ns,
            "cause_ns": result.gaps.totals(),
            "host_ns": result.host_ns,
            "preemptions": sum(r.preemptions for r in self.finished),
            "interrupted": self.interrupted,
            **self.latencies(),
            **({} if self.profiled is None else {"profiled": self.profiled.to_json()}),
        }

    def latencies(self) -> dict[str, Figures | None]:
        """Return the latency figures of the requests that ended by themselves."""
        done = [r for r in self.finished if r.finish is not Finish.CANCELLED]
        times = [(r.arrival_ns, r.first_token_ns, r.finished_ns, len(r.output)) for r in done]
        return latencies(*np.array(times, np.int64).reshape(-1, 4).T)


@dataclass(frozen=True)
class Run:
    """What `run` returns: every mode that was run, and how they compare."""

    config: RunConfig
    gpu: GPU | None  # whose peaks the rooflines are drawn with; None where they are not known
    device: dict[str, Any]  # kind, name, measured
    modes: dict[str, ModeRun]
    notes: tuple[str, ...]

    @property
    def interrupted(self) -> bool:
        """Return whether the run was stopped before its end."""
        return any(mode.interrupted for mode in self.modes.values()) or set(self.modes) != set(
            self.config.modes
        )

    @property
    def speedup(self) -> float | None:
        """Return synchronous time over asynchronous time; None unless both modes ran to their end."""
        if self.interrupted or set(self.modes) != set(DEPTHS):
            return None
        return self.modes["sync"].total_ns / self.modes["async"].total_ns

    def predicted(self) -> Outcome | None:
        """Return what the synchronous run predicts of the asynchronous one.

        None unless the former ran to its end, with all requests there at its start: a replay does not wait for others.
        """
        sync = self.modes.get("sync")
        if sync is None or sync.interrupted or self.config.demand.open:
            return None
        if self.config.engine == "transformers" and self.device["kind"] == "cpu":
            return None  # host and device are the same cores
        return asynchronous(sync.result)

    def verdict(self) -> str:
        """Return what the run shows, in one sentence."""
        how = f"on {'' if self.device['measured'] else 'a '}{self.device['name']}"
        device = "device" if self.device["kind"] == "cpu" else "GPU"
        if self.interrupted:
            return f"Stopped early {how}: the figures cover only the steps that ran."
        idle = {mode: run.result.idle_pct for mode, run in self.modes.items()}
        if self.speedup is None:
            ((mode, run),) = self.modes.items()
            name = {"sync": "Synchronous", "async": "Asynchronous"}[mode]
            return f"{name} batching took {_time(run.total_ns)} with the {device} idle {idle[mode]:.2f} % {how}."
        change = (
            f"{_time(self.modes['sync'].total_ns)} to {_time(self.modes['async'].total_ns)}, "
            f"idle {idle['sync']:.2f} % to {idle['async']:.2f} %"
        )
        result = self.modes["async"].result
        no_demand = percent(result.host_ns.get(NO_DEMAND, 0), result.occupancy.window_ns)
        host_bound = idle["async"] - no_demand > HOST_BOUND_IDLE_PCT
        if self.speedup < WORTH_SAYING:
            why = f"the {device} hardly waited for the host"
            if host_bound:
                why = f"the host needs longer for a step than the {device}"
            elif no_demand > HOST_BOUND_IDLE_PCT:
                why = f"the {device} waited for requests to arrive"
            return f"Asynchronous batching changes little ({change}) {how}: {why}."
        rest = f"; the host still needs longer for a step than the {device}" if host_bound else ""
        return f"Asynchronous batching is {self.speedup:.3f} times faster ({change}) {how}{rest}."

    def summary(self) -> dict[str, Any]:
        """Return summary.json (README.md, "JSON")."""
        return {
            "schema": SCHEMA,
            "config": asdict(self.config),
            "device": self.device,
            "environment": environment(self.device["measured"], self.config.engine),
            "modes": {mode: run.summary(self.gpu) for mode, run in self.modes.items()},
            "speedup": self.speedup,
            "predicted": predicted.to_json() if (predicted := self.predicted()) else None,
            "verdict": self.verdict(),
            "warnings": list(self.notes),
        }


def run(config: RunConfig, progress: Progress | None = None, folder: Path | None = None) -> Run:
    """Run a configuration; `progress` is called after every step, outside of what is timed.

    A profiler's traces are written to `folder`, which must be there.
    Ctrl-C stops the mode that is running and skips the next; what was recorded until then is kept. Where nothing was,
    KeyboardInterrupt is raised. Raises ConfigError for what cannot be run.
    """
    chosen = devices.choose(config.device)
    devices.check(config, chosen)
    if config.profile is not None and folder is None:
        raise ConfigError("a profiler's traces need a folder: run(config, folder=Path(…))")
    if config.engine == "transformers":
        from idlescope.experiment import run_transformers

        return run_transformers.run(devices.runnable(config, chosen), progress, folder)
    shape, warning = devices.shape(config, chosen)
    notes = [note for note in (chosen.note, warning, *config.demand.notes) if note]
    described: dict[str, Any] = {}

    def one(mode: str) -> tuple[ModeRun, Sequence[str]]:
        device = devices.make(config, chosen)
        described.update(kind=device.kind, name=device.name, measured=device.measured)
        return run_mode(config, mode, device, chosen.gpu, shape, progress, folder), device.notes()

    modes, said = run_modes(config, one, folder)
    return Run(config, chosen.gpu, described, modes, (*notes, *said))


def run_modes(
    config: RunConfig, one: Callable[[str], tuple[ModeRun, Sequence[str]]], folder: Path | None
) -> tuple[dict[str, ModeRun], list[str]]:
    """Run the modes in turn by `one`, until one is stopped; return them, and what the user should know of them.

    KeyboardInterrupt is raised where there is nothing to keep.
    """
    modes: dict[str, ModeRun] = {}
    notes: list[str] = []
    for mode in config.modes:
        try:
            modes[mode], said = one(mode)
        except KeyboardInterrupt:
            if not modes:
                raise
            break
        notes += [f"{mode}: {note}" for note in said]
        if modes[mode].interrupted:
            break
    return modes, notes + profile_modes(config, modes, folder)


def run_mode(
    config: RunConfig, mode: str, device: Device, gpu: GPU | None, shape: Shape, progress: Progress | None = None,
    folder: Path | None = None,
) -> ModeRun:  # fmt: skip
    """Run one mode on a fresh device."""
    architecture = config.architecture
    stops = architecture.eos if config.stop_at_eos else ()
    requests = config.demand.requests(architecture.vocab, config.seed, stops)
    recorder = Announcer(device.clock.now, DEPTHS[mode])
    interrupted, engine = False, None
    watch: Callable[[Engine], None] | None = None if progress is None else partial(progress, mode)
    if (window := profiler_window(config, mode, folder)) is not None:
        watch = watching(window, watch)
    try:
        slots = device.open(shape, DEPTHS[mode])
        if device.measured and config.warmup:
            warm_up = warm_up_demand(config).requests(architecture.vocab, config.seed)
            Engine(device, slots, warm_up, StepClock(device.clock.now)).run()
        engine = Engine(device, slots, requests, recorder)
        with frozen_heap():
            device.begin()
            with recorder.watching_collector():
                try:
                    engine.run(watch)
                except KeyboardInterrupt:
                    interrupted = True
                total = device.clock.now()
    finally:
        if window is not None and engine is not None:
            window.close(engine.steps)
        device.close()
    meta = Metadata(
        format="recording",
        measured=device.measured,
        mode=mode,
        model=architecture.name,
        gpu=gpu.key if gpu else "",
        rows=shape.rows,
        extra={"source": "idlescope run", "device": device.name},
    )
    recorder.requests(engine.scheduler.finished)
    trace = recorder.trace(device.name, meta)
    if interrupted and not len(trace.operations):
        raise KeyboardInterrupt  # there is nothing to keep
    finished = tuple(engine.scheduler.finished)
    profiled = beside(trace, window)
    return ModeRun(
        mode, trace, analyze(trace), total, engine.tokens, finished, interrupted, profiled
    )


def profiler_window(config: RunConfig, mode: str, folder: Path | None) -> StepWindow | None:
    """Return the window of a mode that a profiler is to record; None where none is asked for."""
    if config.profile is None or folder is None:
        return None
    return ProfiledSteps.parse(config.profile).window(folder / f"{mode}.kineto.json.gz")


def beside(trace: Trace, window: StepWindow | None) -> Profiled | None:
    """Return what a window recorded beside the step clock's trace; None where there is none, or nothing in it."""
    if window is None or window.opened is None or window.closed is None or not window.path.exists():
        return None
    retired = (
        int(trace.operations.step.max(initial=-1)) + 1
    )  # steps; fewer than were begun, where it was stopped
    last = min(window.closed, retired)
    return compare(trace, window.opened, last, window.path) if last > window.opened else None


def watching(
    window: StepWindow, watch: Callable[[Engine], None] | None
) -> Callable[[Engine], None]:
    """Return what to call after each step, so that a profiler records its window."""
    window.before(0)

    def on_step(engine: Engine) -> None:
        if watch is not None:
            watch(engine)
        window.before(engine.steps)

    return on_step


def profile_modes(config: RunConfig, modes: dict[str, ModeRun], folder: Path | None) -> list[str]:
    """Add to each mode what a profiler recorded of it; return what the user should know of that."""
    notes: list[str] = []
    if config.profile is not None and folder is not None:
        for mode, bare in modes.items():
            modes[mode], found = with_profile(config, bare, folder)
            notes += [f"{mode}: {note}" for note in found]
    return notes


def with_profile(config: RunConfig, mode: ModeRun, folder: Path) -> tuple[ModeRun, list[str]]:
    """Return a mode with what a profiler recorded of it, and what the user should know of that."""
    assert config.profile is not None
    choice = ProfiledSteps.parse(config.profile)
    if choice.tool == "nsys":
        if nsys.UNDER_NSYS in os.environ or mode.interrupted:
            problem = nvtx_problem()
            return mode, [] if problem is None else [problem]
        profiled, problem = record(config, mode.mode, folder)
        return replace(mode, profiled=profiled), [] if problem is None else [problem]
    if mode.profiled is None and mode.interrupted:
        return mode, []
    if mode.profiled is None:
        steps = len(mode.result.steps)
        return mode, [
            f"nothing was profiled: the run ended after {steps} steps, before step {choice.first}; give --profile "
            "torch:FIRST-LAST"
        ]
    first, last, problem = mode.profiled.first, mode.profiled.last, mode.profiled.problem
    notes = [] if problem is None else [f"the profiler's trace cannot be analysed: {problem}"]
    notes.append(
        f"torch.profiler recorded the steps {first} to {last - 1}, and the figures of the whole run hold what that cost"
    )
    return mode, notes


def warm_up_demand(config: RunConfig) -> Workload:
    """Return a full batch of requests that nobody records, as long as the first ones but for few new tokens.

    First touches of memory, kernels loaded at their first use, clocks of the GPU: what a first batch of other lengths
    leaves to be done counts as compute of the run.
    """
    first, demand = slice(config.rows), config.demand
    prompts = demand.prompt_tokens[first]
    return Workload(prompts, demand.output_tokens[first].clip(max=config.warmup), 0 * prompts)


def _time(ns: int) -> str:
    return f"{ns / 1e9:.1f} s" if ns >= 1e9 else f"{ns / 1e6:.1f} ms"


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Keep what is alive already out of garbage collections meanwhile, as serving engines do before their loop."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def environment(measured: bool = False, engine: str = "idlescope") -> dict[str, str]:
    """Return the versions that a result depends on, torch's where it ran, and the machine it was made on."""
    engines = {engine, *(["torch"] if measured else [])} - {"idlescope"}
    return {
        "idlescope": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        **{name: version(name) for name in sorted(engines)},
        "system": platform.system(),
        "machine": platform.machine(),
    }
