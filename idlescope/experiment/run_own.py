"""A run on our own engine: the step loop on a device, recorded by the step clock, analysed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from idlescope.analysis.analyze import analyze
from idlescope.capture.announce import Announcer
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.base import Device
from idlescope.engine.loop import Engine
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import Slot
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice import kv_cache
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.document import RunDevice
from idlescope.experiment.highest_rate import highest_factor
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.modes import Mode
from idlescope.experiment.profiler_window import beside, watching, window_of
from idlescope.experiment.progress import Progress
from idlescope.experiment.result import Run
from idlescope.experiment.run_modes import Served, requests_of, run_modes, warm_up_demand
from idlescope.experiment.target import Target
from idlescope.experiment.watched import Watched, unwatched
from idlescope.hardware.gpus import GPU
from idlescope.trace.metadata import Metadata


def run(
    config: RunConfig,
    choice: DeviceChoice,
    progress: Progress | None = None,
    folder: Path | None = None,
    watched: Watched = unwatched,
) -> Run:
    """Run a configuration on a device; see `experiment.run.run`."""
    cache_shape, warning = kv_cache.shape(config, choice)
    run_notes = [note for note in (choice.note, warning, *config.demand.notes) if note]

    def run_one(mode: Mode) -> Served:
        device = choice.make(config)
        mode_run = run_mode(
            config, mode, device, choice.gpu, cache_shape, progress, folder, watched
        )
        return Served(mode_run, device.name, device.notes())

    served = run_modes(config, run_one, folder)
    device = RunDevice(choice.kind.value, served.device_name, choice.measured)
    notes = (*run_notes, *served.notes)
    made = Run(config, choice, device, served.modes, notes)
    if config.target is None or made.interrupted:
        return made
    target = Target.parse(config.target)
    factors = {
        str(mode): highest_factor(config, choice, cache_shape, mode, target, progress)
        for mode in config.modes
    }
    return replace(made, rate_factors=factors)


def run_mode(
    config: RunConfig,
    mode: str,
    device: Device,
    gpu: GPU | None,
    shape: Shape,
    progress: Progress | None = None,
    folder: Path | None = None,
    watched: Watched = unwatched,
) -> ModeRun:
    """Run one mode on a fresh device, which is closed at the end.

    Ctrl-C ends it early; where nothing was recorded until then, KeyboardInterrupt is raised.
    """
    mode = Mode(mode)
    recorder = Announcer(device.clock.now, mode.depth, folder)
    engine: Engine | None = None
    watch_engine: Callable[[Engine], None] | None = (
        None if progress is None else partial(progress, mode)
    )
    window = window_of(config, mode, folder)
    if window is not None:
        watch_engine = watching(window, watch_engine)
    try:
        device_slots = device.open(shape, mode.depth)
        if device.measured and config.warmup:
            _warm_up(config, device, device_slots)
        with watched(device, recorder) as engine_recorder:
            engine = Engine(device, device_slots, requests_of(config), engine_recorder)
            interrupted, total_ns = _serve(engine, device, recorder, watch_engine)
    finally:
        if window is not None and engine is not None:
            window.close(engine.steps)
        device.close()
    finished = tuple(engine.scheduler.finished)
    recorder.requests(engine.scheduler.finished)
    metadata = Metadata(
        format="recording",
        measured=device.measured,
        mode=mode.value,
        model=config.architecture.name,
        gpu=gpu.key if gpu else "",
        rows=shape.rows,
        extra={"source": "idlescope run", "device": device.name},
    )
    recorded_trace = recorder.trace(device.name, metadata)
    if interrupted and not len(recorded_trace.operations):
        raise KeyboardInterrupt  # there is nothing to keep
    return ModeRun(
        mode=mode,
        trace=recorded_trace,
        analysis=analyze(recorded_trace),
        total_ns=total_ns,
        tokens=engine.tokens,
        finished=finished,
        interrupted=interrupted,
        profiled=beside(recorded_trace, window),
    )


def _warm_up(config: RunConfig, device: Device, slots: list[Slot]) -> None:
    requests = warm_up_demand(config).requests(config.architecture.vocab, config.seed)
    Engine(device, slots, requests, StepClock(device.clock.now)).run()


def _serve(
    engine: Engine,
    device: Device,
    recorder: Announcer,
    watch: Callable[[Engine], None] | None,
) -> tuple[bool, int]:
    """Serve all requests; return whether Ctrl-C ended that, and how long it took, ns."""
    interrupted = False
    # where no time of the host's own counts, the collector may run when it likes
    with frozen_heap() if device.clock.real else nullcontext():
        device.begin()
        with recorder.watching_collector():
            try:
                engine.run(watch)
            except KeyboardInterrupt:
                interrupted = True
            total_ns = device.clock.now()
    return interrupted, total_ns


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Keep what is alive already out of garbage collections, as serving engines do."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
