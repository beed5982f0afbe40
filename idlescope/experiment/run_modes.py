"""The modes of a run, in turn, whatever engine runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from idlescope.engine.requests import Request
from idlescope.engine.workload import Workload
from idlescope.experiment.config import RunConfig
from idlescope.experiment.modes import Mode
from idlescope.experiment.profiler_window import profile_modes
from idlescope.experiment.result import ModeRun


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
    modes: dict[str, ModeRun] = {}
    notes: list[str] = []
    device_name = ""
    for mode in config.modes:
        try:
            modes[mode], device_name, said = run_one(mode)
        except KeyboardInterrupt:
            if not modes:
                raise
            break
        notes += [f"{mode}: {note}" for note in said]
        if modes[mode].interrupted:
            break
    notes += profile_modes(config, modes, folder)
    return AllServed(modes, device_name, notes)


def requests_of(config: RunConfig) -> list[Request]:
    """Return the requests of a run, fresh."""
    architecture = config.architecture
    stops = architecture.eos if config.stop_at_eos else ()
    return config.demand.requests(architecture.vocab, config.seed, stops)


def warm_up_demand(config: RunConfig) -> Workload:
    """Return a first batch that nobody records: the run's first prompts, with few new tokens.

    First touches of memory, kernels loaded at their first use, clocks of the GPU: what a first
    batch of other lengths leaves to be done counts as compute of the run.
    """
    demand = config.demand
    prompts = demand.prompt_tokens[: config.rows]
    outputs = demand.output_tokens[: config.rows].clip(max=config.warmup)
    return Workload(prompts, outputs, 0 * prompts)
