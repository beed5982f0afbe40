"""torch.profiler over some steps of a loop, light: no stacks, no shapes, all threads; written as a Kineto trace."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from idlescope.errors import ConfigError

# Steps with the profiler on before a window begins: cold, its first instrumented graph launch takes some 20 ms, and an
# asynchronous pipeline drains meanwhile (measured on an H200, torch 2.11).
WARMUP_STEPS = 3


class Profiler:
    """Records from `start` to `stop`, which any thread may call; `warm` before the start, if there is time for it."""

    def __init__(self) -> None:
        try:
            import torch
        except ImportError:
            raise ConfigError("torch.profiler needs torch: pip install 'idlescope[torch]'") from None
        from torch._C._profiler import _ExperimentalConfig
        from torch.profiler import ProfilerActivity, profile

        self.cuda = torch.cuda.is_available()
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.cuda else [])]
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


class StepWindow:
    """Records the steps [first, last) of a loop that says, between steps, which step comes next."""

    def __init__(self, path: Path, first: int, last: int) -> None:
        self.path, self.first, self.last = path, first, last
        start_up()
        self._profiler = Profiler()
        self.opened: int | None = None  # the step that recording began with
        self.closed: int | None = None  # the step that it ended before
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

    def close(self, step: int) -> bool:
        """End at a step, at the latest; write the trace. Return whether there is one."""
        self._profiler.stop()
        if self.opened is not None and self.closed is None:
            self.closed = step
        if self._profiler.recorded:
            self._profiler.write(self.path)
        return self._profiler.recorded
