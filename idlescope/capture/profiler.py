"""torch.profiler over a stretch of this process: light, without stacks and shapes, all threads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from idlescope.errors import ConfigError


class TorchProfiler:
    """Implements `window.WindowProfiler`. Any thread may call `start` and `stop`.

    Raises ConfigError where torch is missing.
    """

    def __init__(self) -> None:
        try:
            import torch
        except ImportError:
            raise ConfigError(
                "torch.profiler needs torch: pip install 'idlescope[torch]'"
            ) from None
        from torch._C._profiler import _ExperimentalConfig
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        # Engines run their loops in threads of their own, which are not recorded otherwise.
        all_threads = _ExperimentalConfig(profile_all_threads=True)
        self._profile: Any = profile(activities=activities, experimental_config=all_threads)
        self._warm = False
        self._recording = False
        self.recorded = False

    def warm(self) -> None:
        """Attach to the device; nothing is recorded yet."""
        self._profile.prepare_trace()
        self._warm = True

    def start(self) -> None:
        """Record from here on."""
        if not self._warm:
            self.warm()
        self._profile.start_trace()
        self._recording = True

    def stop(self) -> None:
        """Record no longer. Harmless where nothing is being recorded."""
        if self._recording:
            self._profile.stop_trace()
            self.recorded = True
        elif self._warm:  # what was prepared can be undone in no other way
            self._profile.start_trace()
            self._profile.stop_trace()
        self._warm = False
        self._recording = False

    def write(self, path: Path) -> None:
        """Write what was recorded as Kineto JSON (.json or .json.gz)."""
        self._profile.export_chrome_trace(str(path))


@cache
def load_torch_profiler() -> None:
    """Load the profiler's own libraries: a second, once per process, that belongs in no loop."""
    profiler = TorchProfiler()
    profiler.start()
    profiler.stop()
