"""The experiment on transformers' continuous batching: the same requests and report, another engine."""

from __future__ import annotations

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
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice import devices
from idlescope.experiment.device_choice.devices import Choice
from idlescope.experiment.run import (
    ModeRun,
    Progress,
    Run,
    beside,
    profiler_window,
    run_modes,
    warm_up_demand,
)
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS

ONLY_SYNC = (
    "on a CPU transformers batches only synchronously, and its compute blocks the host on the same cores: nothing can "
    "overlap"
)


def run(config: RunConfig, progress: Progress | None = None, folder: Path | None = None) -> Run:
    """Run a configuration that has been checked and is runnable, as `experiment.run.run` does."""
    chosen = devices.choose(config.device)
    notes = [note for note in (chosen.note, *config.demand.notes) if note]
    if chosen.kind == "cpu":
        notes.append(ONLY_SYNC)
    name = devices.cuda_name() if chosen.kind == "cuda" else "CPU"
    model = devices.model_for(config, chosen)
    network = load(model, devices.dtype(config, chosen), chosen.kind, config.seed)
    modes, said = run_modes(
        config, lambda mode: run_mode(config, mode, network, chosen, name, progress, folder), folder
    )
    described = {"kind": chosen.kind, "name": name, "measured": True}
    return Run(config, chosen.gpu, described, modes, (*notes, *said))


def run_mode(
    config: RunConfig, mode: str, network: Any, chosen: Choice, name: str, progress: Progress | None = None,
    folder: Path | None = None,
) -> tuple[ModeRun, list[str]]:  # fmt: skip
    """Run one mode; return it, and what the user should know of it."""
    architecture, cuda = config.architecture, chosen.kind == "cuda"
    requests = config.demand.requests(
        architecture.vocab, config.seed, architecture.eos if config.stop_at_eos else ()
    )
    how = settings(config, mode, cuda)
    if config.warmup:
        # of another seed: it keeps the KV of prompts that it has seen
        other = warm_up_demand(config).requests(architecture.vocab, config.seed + 1)
        if serve(network, other, how).interrupted:
            raise KeyboardInterrupt
    clock = SystemClock()
    recorder = StepClock(clock.now, PHASES)
    hook = Hook(devices.model_for(config, chosen), recorder, clock, cuda, DEPTHS[mode] > 1)
    if (window := profiler_window(config, mode, folder)) is not None:
        hook.before_step = window.before
    watch = None if progress is None else lambda: progress(mode, hook)
    try:
        served = serve(network, requests, how, hook, watch)
    finally:
        if window is not None:
            window.close(hook.launched)
    meta = Metadata(
        format="recording",
        measured=True,
        mode=mode,
        model=architecture.name,
        gpu=chosen.gpu.key if chosen.gpu else "",
        extra={"source": "idlescope run", "device": name, "engine": served.described},
    )
    trace = recorder.trace(name, meta)
    if served.interrupted and not len(trace.operations):
        raise KeyboardInterrupt  # there is nothing to keep
    total = (
        max(r.finished_ns or 0 for r in served.finished)
        if not served.interrupted
        else hook.updated_ns
    )
    profiled = beside(trace, window)
    run = ModeRun(
        mode,
        trace,
        analyze(trace),
        total,
        served.tokens,
        served.finished,
        served.interrupted,
        profiled,
    )
    return run, [served.described, *(device_notes(hook) if cuda else [])]


def settings(config: RunConfig, mode: str, cuda: bool) -> Settings:
    """Return how it is to batch: as its defaults are, for so many rows.

    On a CPU it would take most of the memory: there the KV cache and the attention mask, which has a column a token of
    the cache, are for these requests. On CUDA that is left to it.
    """
    demand, rows, tokens, blocks = config.demand, config.rows, config.max_batch_tokens, None
    if not cuda:
        longest = -(-demand.longest // BLOCK_TOKENS)
        blocks = ceil(rows * longest / (1 - MARGIN)) + 1
        tokens = min(tokens, sum(sorted(demand.prompt_tokens.tolist())[-rows:]))
    return Settings(DEPTHS[mode] > 1, rows, tokens, config.graphs, blocks)


def device_notes(hook: Hook) -> list[str]:
    """Return what the user should know of times on a GPU."""
    notes = [
        "only compute is timed on the GPU: copies count as idle, launches and gaps between kernels as active"
    ]
    if hook.captured:
        notes.append(
            f"{hook.captured} CUDA graphs were captured meanwhile, in {hook.capture_ns / 1e9:.2f} s"
        )
    return notes
