"""Profilers over some steps of a loop; torch.profiler, light: no stacks, no shapes, all threads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from idlescope.capture.nsys import NvtxWindow
from idlescope.errors import ConfigError

TOOLS = ("torch", "nsys")
STEPS = 20  # of a window, unless given
LEAST_STEPS = 2  # that make a time from step to step
SETTLED_STEPS = 8  # the first steps of a run, prompts among them, are like no other

# Steps with the profiler on before a window begins: cold, its first instrumented graph launch takes some 20 ms, and an
# asynchronous pipeline drains meanwhile (measured on an H200, torch 2.11).
WARMUP_STEPS = 3


class Profiler:
    """Records from `start` to `stop`, which any thread may call; `warm` before the start, if there is time for it."""

    def __init__(self) -> None:
        try:
            import torch
        except ImportError:
            raise ConfigError(
                "torch.profiler needs torch: pip install 'idlescope[torch]'"
            ) from None
        from torch._C._profiler import _ExperimentalConfig
        from torch.profiler import ProfilerActivity, profile

        activities = [
            ProfilerActivity.CPU,
            *([ProfilerActivity.CUDA] if torch.cuda.is_available() else []),
        ]
        # engines run their loops in threads of their own, which are not recorded otherwise
        self._profile: Any = profile(
            activities=activities, experimental_config=_ExperimentalConfig(profile_all_threads=True)
        )
        self._warm = self._on = self.recorded = False

    def warm(self) -> None:
        """Attach to the device; nothing is recorded yet."""
        self._profile.prepare_trace()
        self._warm = True

    def start(self) -> None:
        """Record from here on."""
        if not self._warm:
            self.warm()
        self._profile.start_trace()
        self._on = True

    def stop(self) -> None:
        """Record no longer. Harmless where nothing is being recorded."""
        if self._warm and not self._on:
            self._profile.start_trace()  # what was prepared can be undone in no other way
            self._profile.stop_trace()
        elif self._on:
            self._profile.stop_trace()
            self.recorded = True
        self._warm = self._on = False

    def write(self, path: Path) -> None:
        """Write what was recorded (.json or .json.gz)."""
        self._profile.export_chrome_trace(str(path))


@cache
def start_up() -> None:
    """Load the profiler's own libraries: a second, once a process, that belongs in no loop."""
    profiler = Profiler()
    profiler.start()
    profiler.stop()


class Recorder(Protocol):
    """What records a window: torch.profiler, or nsys by a range."""

    recorded: bool

    def warm(self) -> None:
        """Get ready, where that takes steps."""

    def start(self) -> None:
        """Record from here on."""

    def stop(self) -> None:
        """Record no longer. Harmless where nothing is being recorded."""

    def write(self, path: Path) -> None:
        """Write what was recorded."""


class StepWindow:
    """Records the steps [first, last) of a loop that says, between steps, which step comes next."""

    def __init__(self, recorder: Recorder, path: Path, first: int, last: int) -> None:
        self.path, self.first, self.last = path, first, last
        self._recorder = recorder
        self._warming = False
        self.opened: int | None = None  # the step that recording began with
        self.closed: int | None = None  # the step that it ended before

    def before(self, step: int) -> None:
        """Do what is due before a step: get ready, begin, or end."""
        if self.closed is not None:
            return
        if self.opened is None:
            if step >= self.first:
                self._recorder.start()
                self.opened = step
            elif step >= self.first - WARMUP_STEPS and not self._warming:
                self._recorder.warm()
                self._warming = True
        elif step >= self.last:
            self._recorder.stop()
            self.closed = step

    def close(self, step: int) -> None:
        """End at a step, at the latest, and write what was recorded."""
        self._recorder.stop()
        if self.opened is not None and self.closed is None:
            self.closed = step
        if self._recorder.recorded:
            self._recorder.write(self.path)


@dataclass(frozen=True)
class Choice:
    """Which profiler records which steps of a run."""

    tool: str  # torch or nsys
    first: int
    last: int  # not recorded any more

    @classmethod
    def of(cls, text: str) -> Choice:
        """Return what `TOOL`, `TOOL:STEPS` or `TOOL:FIRST-LAST` asks for; the last is recorded, too.

        Unless given, the first is so late that as many steps before it are not recorded, for comparison. Raises
        ConfigError.
        """
        tool, _, rest = text.partition(":")
        found = re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})", rest or str(STEPS))
        if tool not in TOOLS or found is None:
            raise ConfigError(
                f"--profile {text} is none: give {' or '.join(TOOLS)}, with :STEPS or :FIRST-LAST if need be"
            )
        steps = int(found[2])
        first = int(found[1]) if found[1] else SETTLED_STEPS + steps + WARMUP_STEPS
        last = steps + 1 if found[1] else first + steps
        if last - first < LEAST_STEPS:
            raise ConfigError(
                f"--profile {text} records {max(0, last - first)} steps: record at least {LEAST_STEPS}"
            )
        return cls(tool, first, last)

    def window(self, path: Path) -> StepWindow:
        """Return the window, to be written to a path. Raises ConfigError where the profiler is not there."""
        if self.tool == "nsys":
            return StepWindow(NvtxWindow(), path, self.first, self.last)
        start_up()
        return StepWindow(Profiler(), path, self.first, self.last)
