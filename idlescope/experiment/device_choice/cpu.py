"""The CPU: the same network in a process of its own, really computed and really measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from idlescope.engine.devices.base import Device
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import (
    DeviceChoice,
    DeviceKind,
    Memory,
    nanoseconds,
    no_fixed_compute,
    no_host_profile,
    no_sync_check,
    no_target,
)
from idlescope.experiment.device_choice.torch_here import require_torch

USABLE_MEMORY = (
    0.5  # share for weights and KV cache of a machine that does other things, too
)


class CpuChoice(DeviceChoice):
    """`cpu`."""

    kind = DeviceKind.CPU
    measured = True
    overlaps = False
    noun = "device"
    without: ClassVar[Mapping[str, str]] = {
        "device_ms": no_fixed_compute(kind),
        "host_profile": no_host_profile(kind),
        "target": no_target(kind),
        "sync_check": no_sync_check(kind),
    }

    @classmethod
    def here(cls) -> CpuChoice:
        """Return the CPU. Raises ConfigError without torch."""
        require_torch(cls.kind)
        return cls()

    def dtype(self, config: RunConfig) -> str:
        """Return float32 unless the run names a type: others are slow on a CPU."""
        return super().dtype(config) if config.dtype not in (None, "auto") else "float32"

    def memory(self) -> Memory:
        """Return half of the machine's memory."""
        machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Memory(USABLE_MEMORY * machine_bytes, "this machine")

    def make(self, config: RunConfig) -> Device:
        """Return a device in a process of its own."""
        return CpuDevice(self.network(config), nanoseconds(config.host_ms))
