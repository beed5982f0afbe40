"""The current CUDA device."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from typing import ClassVar

from idlescope.engine.devices.base import Device
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import (
    DeviceChoice,
    DeviceKind,
    Memory,
    nanoseconds,
    no_fixed_compute,
    no_host_profile,
    no_target,
)
from idlescope.experiment.device_choice.torch_here import (
    cuda_available,
    cuda_name,
    require_torch,
)
from idlescope.hardware.gpus import called

USABLE_MEMORY = (
    0.9  # share for weights and KV cache: vLLM's default of gpu_memory_utilization
)


class CudaChoice(DeviceChoice):
    """`cuda`."""

    kind = DeviceKind.CUDA
    measured = True
    overlaps = True
    noun = "GPU"
    without: ClassVar[Mapping[str, str]] = {
        "device_ms": no_fixed_compute(kind),
        "host_profile": no_host_profile(kind),
        "target": no_target(kind),
    }

    @classmethod
    def here(cls, note: str | None = None) -> CudaChoice:
        """Return the current device. Raises ConfigError without torch, or where torch sees none."""
        require_torch(cls.kind)
        if not cuda_available():
            raise ConfigError(
                "torch sees no CUDA device: use --device cpu or --device modelled"
            )
        return cls(called(cuda_name()), note)

    def memory(self) -> Memory:
        """Return what is free on the device now, less what serving engines leave free."""
        import torch

        free_bytes, _ = torch.cuda.mem_get_info()
        return Memory(USABLE_MEMORY * free_bytes, cuda_name())

    def make(self, config: RunConfig) -> Device:
        """Return the device."""
        network = self.network(config)
        try:
            from idlescope.engine.devices.cuda import CudaDevice
        except ImportError as error:
            raise ConfigError(
                f"--device cuda needs torch 2.11 or later and triton: {error}"
            ) from None
        host_ns = nanoseconds(config.host_ms)
        return CudaDevice(network, config.graphs, config.sync_check, host_ns)


def free_memory() -> None:
    """Give back what a run that failed on a CUDA device still holds there."""
    torch_module = sys.modules.get("torch")
    gc.collect()
    if torch_module is not None and torch_module.cuda.is_initialized():
        torch_module.cuda.empty_cache()
