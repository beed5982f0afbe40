"""A run on transformers' continuous batching: the same requests and report, another engine."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from idlescope.analysis.analyze import analyze
from idlescope.capture.step_clock import StepClock
from idlescope.capture.transformers.hook import Hook
from idlescope.capture.transformers.methods import PHASES
from idlescope.capture.transformers.network import load
from idlescope.capture.transformers.serve import BLOCK_TOKENS, MARGIN, Settings, serve
from idlescope.engine.clock import SystemClock
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import DeviceChoice, DeviceKind
from idlescope.experiment.device_choice.torch_here import cuda_name
from idlescope.experiment.document import RunDevice
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.modes import BOTH, Mode
from idlescope.experiment.option import flag
from idlescope.experiment.profiler_window import beside, window_of
from idlescope.experiment.progress import Progress
from idlescope.experiment.result import Run
from idlescope.experiment.run_modes import Served, requests_of, run_modes, warm_up_demand
from idlescope.trace.metadata import Metadata

ONLY_SYNC = (
    "on a CPU transformers batches only synchronously, and its compute blocks the host on the same "
    "cores: nothing can overlap"
)
# what its batching is not asked for here: it has its own KV blocks, and runs greedily
WITHOUT = (
    "arrival",
    "block_size",
    "kv_blocks",
    "host_ms",
    "sync_check",
    "temperature",
    "top_k",
    "top_p",
)


def check(config: RunConfig, choice: DeviceChoice) -> None:
    """Raise ConfigError for what transformers cannot run on a device."""
    if not choice.measured:
        raise ConfigError(
            f"--engine transformers runs on a real device, and this would be a {choice.kind} one: "
            "use --device cpu or cuda"
        )
    if config.mode == Mode.ASYNC and not choice.overlaps:
        raise ConfigError(
            "asynchronous batching of transformers needs CUDA: use --mode sync"
        )
    for option_name in WITHOUT:
        if getattr(config, option_name) != getattr(RunConfig, option_name):
            raise ConfigError(
                f"{flag(option_name)} is not for --engine transformers: leave it out"
            )
    if config.demand.open:
        raise ConfigError(
            f"--engine transformers has all requests at the start, and in {config.workload} some "
            "arrive"
        )


def runnable(config: RunConfig, choice: DeviceChoice) -> RunConfig:
    """Return the configuration with the modes that can be run: on a CPU the synchronous one."""
    only_sync = config.mode == BOTH and not choice.overlaps
    return replace(config, mode=Mode.SYNC.value) if only_sync else config


def run(
    config: RunConfig,
    choice: DeviceChoice,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Run:
    """Run a configuration on a device; see `experiment.run.run`."""
    run_notes = [note for note in (choice.note, *config.demand.notes) if note]
    if not choice.overlaps:
        run_notes.append(ONLY_SYNC)
    chosen_model, weight_dtype = choice.model(config), choice.dtype(config)
    network = load(chosen_model, weight_dtype, choice.kind.value, config.seed)

    def run_one(mode: Mode) -> Served:
        return run_mode(config, mode, network, choice, progress, folder)

    served = run_modes(config, run_one, folder)
    device = RunDevice(choice.kind.value, served.device_name, choice.measured)
    return Run(config, choice, device, served.modes, (*run_notes, *served.notes))


def run_mode(
    config: RunConfig,
    mode: Mode,
    network: Any,
    choice: DeviceChoice,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Served:
    """Run one mode of a network that is loaded."""
    on_cuda = choice.kind is DeviceKind.CUDA
    device_name = cuda_name() if on_cuda else "CPU"
    batching_settings = settings(config, mode, on_cuda)
    if config.warmup:
        _warm_up(config, network, batching_settings)
    system_clock = SystemClock()
    recorder = StepClock(system_clock.now, PHASES, folder)
    engine_hook = Hook(
        choice.model(config), recorder, system_clock, on_cuda, mode is Mode.ASYNC
    )
    window = window_of(config, mode, folder)
    if window is not None:
        engine_hook.before_step = window.before
    watch_engine = None if progress is None else lambda: progress(mode, engine_hook)
    try:
        served = serve(
            network, requests_of(config), batching_settings, engine_hook, watch_engine
        )
    finally:
        if window is not None:
            window.close(engine_hook.launched)
    metadata = Metadata(
        format="recording",
        measured=True,
        mode=mode.value,
        model=config.architecture.name,
        gpu=choice.gpu.key if choice.gpu else "",
        extra={
            "source": "idlescope run",
            "device": device_name,
            "engine": served.described,
        },
    )
    recorded_trace = recorder.trace(device_name, metadata)
    if served.interrupted and not len(recorded_trace.operations):
        raise KeyboardInterrupt  # there is nothing to keep
    total_ns = engine_hook.updated_ns
    if not served.interrupted:
        total_ns = max(request.finished_ns or 0 for request in served.finished)
    mode_run = ModeRun(
        mode=mode,
        trace=recorded_trace,
        analysis=analyze(recorded_trace),
        total_ns=total_ns,
        tokens=served.tokens,
        finished=served.finished,
        interrupted=served.interrupted,
        profiled=beside(recorded_trace, window),
    )
    mode_notes = [served.described, *(_device_notes(engine_hook) if on_cuda else [])]
    return Served(mode_run, device_name, mode_notes)


def _warm_up(config: RunConfig, network: Any, how: Settings) -> None:
    """Serve a first batch; of another seed, for it keeps the KV of prompts that it has seen."""
    requests = warm_up_demand(config).requests(config.architecture.vocab, config.seed + 1)
    if serve(network, requests, how).interrupted:
        raise KeyboardInterrupt


def settings(config: RunConfig, mode: Mode, on_cuda: bool) -> Settings:
    """Return how it is to batch: as its defaults are, for so many rows.

    On a CPU it would take most of the memory: there the KV cache and the attention mask, which has
    a column per token of the cache, are for these requests. On CUDA that is left to it.
    """
    batch_tokens, blocks = config.max_batch_tokens, None
    if not on_cuda:
        longest_blocks = ceil(config.demand.longest / BLOCK_TOKENS)
        blocks = ceil(config.rows * longest_blocks / (1 - MARGIN)) + 1
        longest_prompts = sorted(config.demand.prompt_tokens.tolist())[-config.rows :]
        batch_tokens = min(batch_tokens, sum(longest_prompts))
    return Settings(mode is Mode.ASYNC, config.rows, batch_tokens, config.graphs, blocks)


def _device_notes(hook: Hook) -> list[str]:
    """Return what the user should know of times on a GPU."""
    device_notes = [
        "only compute is timed on the GPU: copies count as idle, launches and gaps between kernels "
        "as active"
    ]
    if hook.captured:
        seconds = hook.capture_ns / 1e9
        device_notes.append(
            f"{hook.captured} CUDA graphs were captured meanwhile, in {seconds:.2f} s"
        )
    return device_notes
