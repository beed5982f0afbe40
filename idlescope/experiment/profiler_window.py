"""Some steps of each mode under a profiler, and its record beside the step clock's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from idlescope.capture import nsys
from idlescope.capture.ranges import nvtx_problem
from idlescope.capture.window import ProfiledSteps, StepWindow
from idlescope.engine.loop import Engine
from idlescope.experiment.config import RunConfig
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.nsys import record
from idlescope.experiment.profiled import Profiled, compare
from idlescope.trace.model import Trace


def window_of(config: RunConfig, mode: str, folder: Path | None) -> StepWindow | None:
    """Return the window of a mode that a profiler is to record; None where none is asked for."""
    if config.profile is None or folder is None:
        return None
    return ProfiledSteps.parse(config.profile).window(folder / f"{mode}.kineto.json.gz")


def watching(
    window: StepWindow, watch: Callable[[Engine], None] | None
) -> Callable[[Engine], None]:
    """Return what to call after each step, so that a profiler records its window.

    The first step is at hand.
    """
    window.before(0)

    def on_step(engine: Engine) -> None:
        if watch is not None:
            watch(engine)
        window.before(engine.steps)

    return on_step


def beside(trace: Trace, window: StepWindow | None) -> Profiled | None:
    """Return what a window recorded beside the step clock's trace.

    None where there is none, or nothing in it.
    """
    if (
        window is None
        or window.opened is None
        or window.closed is None
        or not window.path.exists()
    ):
        return None
    # where the run was stopped, fewer steps have ended than were begun
    ended_steps = int(trace.operations.step.max(initial=-1)) + 1
    last_step = min(window.closed, ended_steps)
    return (
        compare(trace, window.opened, last_step, window.path)
        if last_step > window.opened
        else None
    )


def profile_modes(
    config: RunConfig, modes: dict[str, ModeRun], folder: Path | None
) -> list[str]:
    """Add to each mode what a profiler recorded of it; return what the user should know of that."""
    all_notes: list[str] = []
    if config.profile is None or folder is None:
        return all_notes
    profiled_steps = ProfiledSteps.parse(config.profile)
    for mode_name, mode_run in modes.items():
        if profiled_steps.tool == "nsys":
            modes[mode_name], torch_notes = _under_nsys(config, mode_run, folder)
        else:
            torch_notes = _notes_of_torch(profiled_steps, mode_run)
        all_notes += [f"{mode_name}: {torch_note}" for torch_note in torch_notes]
    return all_notes


def _under_nsys(
    config: RunConfig, mode: ModeRun, folder: Path
) -> tuple[ModeRun, list[str]]:
    """Run a mode again under nsys.

    Return it with what that recorded, and what the user should know of it.
    """
    if nsys.UNDER_NSYS in os.environ or mode.interrupted:
        problem = nvtx_problem()
    else:
        profiled, problem = record(config, mode.mode, folder)
        mode = replace(mode, profiled=profiled)
    return mode, [] if problem is None else [problem]


def _notes_of_torch(asked: ProfiledSteps, mode: ModeRun) -> list[str]:
    """Return what the user should know of a window that torch.profiler was to record."""
    if mode.profiled is None:
        if mode.interrupted:
            return []
        step_count = len(mode.result.steps)
        return [
            f"nothing was profiled: the run ended after {step_count} steps, "
            f"before step {asked.first}; give --profile torch:FIRST-LAST"
        ]
    first_step, last_step, problem = (
        mode.profiled.first,
        mode.profiled.last,
        mode.profiled.problem,
    )
    torch_notes = (
        [] if problem is None else [f"the profiler's trace cannot be analysed: {problem}"]
    )
    torch_notes.append(
        f"torch.profiler recorded the steps {first_step} to {last_step - 1}, "
        "and the figures of the whole run hold what that cost"
    )
    return torch_notes
