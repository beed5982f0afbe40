"""A run repeated under Nsight Systems, and its report beside the step clock of the same run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from idlescope.capture import nsys
from idlescope.capture.window import ProfiledSteps
from idlescope.experiment.config import RunConfig
from idlescope.experiment.profiled import Profiled, compare, step_starts
from idlescope.trace.open import open_trace


def record(
    config: RunConfig, mode: str, folder: Path
) -> tuple[Profiled | None, str | None]:
    """Run one mode again under nsys, which writes MODE.nsys-rep to a folder.

    Return it analysed, or what is amiss.
    """
    report = folder / f"{mode}.nsys-rep"
    run_words = ["run", *replace(config, mode=str(mode)).words(), "--force", "--out"]
    if nsys.on_path() is None:
        shown_command = nsys.command_line(
            [*run_words, f"reports/{mode}-under-nsys"], Path(report.name)
        )
        return None, f"nsys is not on PATH; on a machine that has it: {shown_command}"
    with tempfile.TemporaryDirectory(prefix="idlescope-") as scratch:
        exit_code, output_lines = _run_under_nsys(
            nsys.this_command([*run_words, scratch], report)
        )
        recording = Path(scratch) / f"{mode}.recording"
        if exit_code or not recording.exists():
            last_line = output_lines[-1] if output_lines else "it said nothing"
            return None, f"the run under nsys failed: {last_line}"
        if not report.exists():
            unheard = (
                shown_command
                for shown_command in output_lines
                if "does not see it" in shown_command
            )
            reason = next(unheard, "the window's range was not seen")
            return None, f"nsys recorded nothing: {reason}"
        nsys_trace = open_trace(recording)
    assert config.profile is not None
    profiled_steps = ProfiledSteps.parse(config.profile)
    last_step = min(profiled_steps.last, step_starts(nsys_trace).size)
    return compare(nsys_trace, profiled_steps.first, last_step, report), None


def _run_under_nsys(command: list[str]) -> tuple[int, list[str]]:
    """Run a command of nsys; return its exit code and the lines that it printed."""
    # S603: nsys from the user's own PATH, around this program
    finished_run = subprocess.run(  # noqa: S603
        command,
        env={**os.environ, **nsys.ENVIRONMENT},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    output_lines = f"{finished_run.stdout}\n{finished_run.stderr}".splitlines()
    return finished_run.returncode, [line.strip() for line in output_lines if line.strip()]
