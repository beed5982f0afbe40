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


def record(config: RunConfig, mode: str, folder: Path) -> tuple[Profiled | None, str | None]:
    """Run one mode again under nsys, which writes MODE.nsys-rep to a folder.

    Return it analysed, or what is amiss.
    """
    report = folder / f"{mode}.nsys-rep"
    again = ["run", *replace(config, mode=str(mode)).words(), "--force", "--out"]
    if nsys.on_path() is None:
        line = nsys.command_line([*again, f"reports/{mode}-under-nsys"], Path(report.name))
        return None, f"nsys is not on PATH; on a machine that has it: {line}"
    with tempfile.TemporaryDirectory(prefix="idlescope-") as scratch:
        exit_code, said = _run_under_nsys(nsys.this_command([*again, scratch], report))
        recording = Path(scratch) / f"{mode}.recording"
        if exit_code or not recording.exists():
            return None, f"the run under nsys failed: {said[-1] if said else 'it said nothing'}"
        if not report.exists():
            unheard = (line for line in said if "does not see it" in line)
            reason = next(unheard, "the window's range was not seen")
            return None, f"nsys recorded nothing: {reason}"
        trace = open_trace(recording)
    assert config.profile is not None
    asked = ProfiledSteps.parse(config.profile)
    last = min(asked.last, step_starts(trace).size)
    return compare(trace, asked.first, last, report), None


def _run_under_nsys(command: list[str]) -> tuple[int, list[str]]:
    """Run a command of nsys; return its exit code and the lines that it printed."""
    # S603: nsys from the user's own PATH, around this program
    done = subprocess.run(  # noqa: S603
        command,
        env={**os.environ, **nsys.ENVIRONMENT},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = f"{done.stdout}\n{done.stderr}".splitlines()
    return done.returncode, [line.strip() for line in lines if line.strip()]
