"""A modelled GPU: times from a roofline of its peaks; nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from idlescope.engine.devices.base import Device
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import (
    DeviceChoice,
    DeviceKind,
    Memory,
    nanoseconds,
    no_sync_check,
)
from idlescope.hardware.gpus import GPU, GPUS, gpu
from idlescope.hardware.latencies import host_profile
from idlescope.models.architecture import Model

DEFAULT_GPU = "h200"
USABLE_MEMORY = (
    0.9  # share for weights and KV cache: vLLM's default of gpu_memory_utilization
)


class ModelledChoice(DeviceChoice):
    """`modelled`, or `modelled:GPU`."""

    kind = DeviceKind.MODELLED
    measured = False
    overlaps = True
    noun = "GPU"
    without: ClassVar[Mapping[str, str]] = {
        "profile": "--profile records a measured device, and this run is on a modelled one: use "
        "--device cpu or cuda",
        "sync_check": no_sync_check(kind),
    }

    @classmethod
    def named(cls, variant: str) -> ModelledChoice:
        """Return the GPU of that key. Raises ConfigError for one that is not known."""
        return cls(gpu(variant or DEFAULT_GPU))

    @classmethod
    def instead_of_cuda(cls) -> ModelledChoice:
        """Return what `auto` stands for where there is no CUDA device."""
        gpu_name = GPUS[DEFAULT_GPU].name
        gpu_note = (
            f"no CUDA device: using a modelled {gpu_name}; its times are not measured"
        )
        return cls(GPUS[DEFAULT_GPU], gpu_note)

    @property
    def peaks(self) -> GPU:
        """Return the GPU that is modelled."""
        assert self.gpu is not None
        return self.gpu

    @property
    def key(self) -> str:
        """Return the GPU's key."""
        return self.peaks.key

    @property
    def spelled(self) -> str:
        """Return `modelled:GPU`."""
        return f"{self.kind}:{self.key}"

    def model(self, config: RunConfig) -> Model:
        """Return the model as it is published: values of 16 bits."""
        return config.architecture

    def memory(self) -> Memory:
        """Return what the GPU's data sheet says, less what serving engines leave free."""
        return Memory(USABLE_MEMORY * self.peaks.memory_bytes, self.peaks.name)

    def make(self, config: RunConfig) -> Device:
        """Return a device on a virtual clock."""
        host_ns, device_ns = nanoseconds(config.host_ms), nanoseconds(config.device_ms)
        return ModelledDevice(
            self.peaks,
            config.architecture,
            config.seed,
            host_ns,
            device_ns,
            host_profile(config.host_profile),
        )
