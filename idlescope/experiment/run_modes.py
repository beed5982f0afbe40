"""The modes of a run, in turn, whatever engine runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from idlescope.engine.requests import Request
from idlescope.engine.workload import Workload
from idlescope.experiment.config import RunConfig
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.modes import Mode
from idlescope.experiment.profiler_window import profile_modes


class Served(NamedTuple):
    """One mode that was run."""

    run: ModeRun
    device_name: str
    notes: Sequence[str]  # what the user should know of it


class AllServed(NamedTuple):
    """All modes that were run."""

    modes: dict[str, ModeRun]
    device_name: str
    notes: list[str]


def run_modes(
    config: RunConfig, run_one: Callable[[Mode], Served], folder: Path | None
) -> AllServed:
    """Run the modes in turn by `run_one`, until one is stopped.

    Add what a profiler recorded of them.

    KeyboardInterrupt is raised where there is nothing to keep.
    """
    mode_runs: dict[str, ModeRun] = {}
    run_notes: list[str] = []
    device_name = ""
    for mode_chosen in config.modes:
        try:
            mode_runs[mode_chosen], device_name, mode_notes = run_one(mode_chosen)
        except KeyboardInterrupt:
            if not mode_runs:
                raise
            break
        run_notes += [f"{mode_chosen}: {mode_note}" for mode_note in mode_notes]
        if mode_runs[mode_chosen].interrupted:
            break
    run_notes += profile_modes(config, mode_runs, folder)
    return AllServed(mode_runs, device_name, run_notes)


def requests_of(config: RunConfig) -> list[Request]:
    """Return the requests of a run, fresh."""
    architecture = config.architecture
    stop_tokens = architecture.eos if config.stop_at_eos else ()
    return config.demand.requests(architecture.vocab, config.seed, stop_tokens)


def warm_up_demand(config: RunConfig) -> Workload:
    """Return a first batch that nobody records: the run's first prompts, with few new tokens.

    First touches of memory, kernels loaded at their first use, clocks of the GPU: what a first
    batch of other lengths leaves to be done counts as compute of the run.
    """
    demand = config.demand
    prompts = demand.prompt_tokens[: config.rows]
    outputs = demand.output_tokens[: config.rows].clip(max=config.warmup)
    return Workload(prompts, outputs, 0 * prompts)
