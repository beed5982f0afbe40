"""A window of a loop's steps that a profiler records: which steps, and when it begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from idlescope.capture.nsys import NsysProfiler
from idlescope.capture.profiler import TorchProfiler, load_torch_profiler
from idlescope.errors import ConfigError

TOOLS = ("torch", "nsys")
STEPS = 20  # of a window, unless given
LEAST_STEPS = 2  # that make a time from step to step
SETTLED_STEPS = 8  # the first steps of a run, prompts among them, are like no other

# Steps with the profiler on before a window begins: cold, its first instrumented graph launch takes
# some 20 ms, and an asynchronous pipeline drains meanwhile (measured on an H200, torch 2.11).
WARMUP_STEPS = 3


class WindowProfiler(Protocol):
    """A profiler that records a window: torch.profiler, or Nsight Systems by a range."""

    recorded: bool  # whether there is anything to write

    def warm(self) -> None:
        """Get ready, where that takes steps."""

    def start(self) -> None:
        """Record from here on."""

    def stop(self) -> None:
        """Record no longer. Harmless where nothing is being recorded."""

    def write(self, path: Path) -> None:
        """Write what was recorded."""


class StepWindow:
    """Records the steps [first, last) of a loop that says, between steps, which comes next."""

    def __init__(self, profiler: WindowProfiler, path: Path, first: int, last: int) -> None:
        self.path = path
        self.first = first
        self.last = last
        self.opened: int | None = None  # the step that recording began with
        self.closed: int | None = None  # the step that it ended before
        self._profiler = profiler
        self._warming = False

    def before(self, step: int) -> None:
        """Do what is due before a step: get ready, begin, or end."""
        if self.closed is not None:
            return
        if self.opened is None:
            if step >= self.first:
                self._profiler.start()
                self.opened = step
            elif step >= self.first - WARMUP_STEPS and not self._warming:
                self._profiler.warm()
                self._warming = True
        elif step >= self.last:
            self._profiler.stop()
            self.closed = step

    def close(self, step: int) -> None:
        """End at a step, at the latest, and write what was recorded."""
        self._profiler.stop()
        if self.opened is not None and self.closed is None:
            self.closed = step
        if self._profiler.recorded:
            self._profiler.write(self.path)


@dataclass(frozen=True)
class ProfiledSteps:
    """Which profiler records which steps of a run: the option `--profile`."""

    tool: str  # torch or nsys
    first: int
    last: int  # not recorded any more

    @classmethod
    def parse(cls, text: str) -> ProfiledSteps:
        """Return what `TOOL`, `TOOL:STEPS` or `TOOL:FIRST-LAST` asks for, LAST included.

        Unless given, the first is so late that as many steps before it are not recorded, for
        comparison. Raises ConfigError.
        """
        tool_name, _, step_span = text.partition(":")
        span_match = re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})", step_span or str(STEPS))
        if tool_name not in TOOLS or span_match is None:
            raise ConfigError(
                f"--profile {text} is none: give {' or '.join(TOOLS)}, "
                "with :STEPS or :FIRST-LAST if need be"
            )
        first_text, last_text = span_match.groups()
        if first_text is None:
            first_step = SETTLED_STEPS + int(last_text) + WARMUP_STEPS
            last_step = first_step + int(last_text)
        else:
            first_step, last_step = int(first_text), int(last_text) + 1
        step_count = max(0, last_step - first_step)
        if step_count < LEAST_STEPS:
            raise ConfigError(
                f"--profile {text} records {step_count} steps: record at least {LEAST_STEPS}"
            )
        return cls(tool_name, first_step, last_step)

    def window(self, path: Path) -> StepWindow:
        """Return the window, to be written to a path. Raises ConfigError without the profiler."""
        if self.tool == "nsys":
            return StepWindow(NsysProfiler(), path, self.first, self.last)
        load_torch_profiler()
        return StepWindow(TorchProfiler(), path, self.first, self.last)
