"""What every device that can be chosen tells: what it allows, its memory, how it is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, NamedTuple

from idlescope.engine.devices.base import Device
from idlescope.engine.network.network import Network
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.hardware.gpus import GPU
from idlescope.models.architecture import Model


class DeviceKind(str, Enum):
    """What a device is; equal to the word in summary.json."""

    MODELLED = "modelled"
    CPU = "cpu"
    CUDA = "cuda"

    __str__ = str.__str__


class Memory(NamedTuple):
    """The memory that weights and KV cache may take."""

    usable_bytes: float
    owner: str  # whose it is, in words


@dataclass(frozen=True)
class DeviceChoice(ABC):
    """A device that is here, and what a run needs to know of it before it is made."""

    kind: ClassVar[DeviceKind]
    measured: ClassVar[bool]  # False where its times come from a model
    overlaps: ClassVar[bool]  # it computes on hardware of its own, beside the host
    noun: ClassVar[str]  # what sentences call it
    # options that it does not have, and why; those that it has are not in it
    without: ClassVar[Mapping[str, str]]

    gpu: GPU | None = (
        None  # whose peaks a roofline is drawn with; None where they are not known
    )
    note: str | None = None  # what to say where the user did not choose it

    @property
    def key(self) -> str:
        """Return the short name that folders and files have."""
        return self.kind.value

    @property
    def spelled(self) -> str:
        """Return the one `--device` that stands for it, of those that may."""
        return self.kind.value

    @abstractmethod
    def make(self, config: RunConfig) -> Device:
        """Return a fresh device for one mode of a run.

        Raises ConfigError where a library for it is missing.
        """

    @abstractmethod
    def memory(self) -> Memory:
        """Return the memory for weights and KV cache."""

    def dtype(self, config: RunConfig) -> str:
        """Return the type of weights and KV cache: the model's own, unless the run names one."""
        if config.dtype in (None, "auto"):
            return config.architecture.dtype
        return str(config.dtype)

    def model(self, config: RunConfig) -> Model:
        """Return the model with the bytes of a value that the device computes in."""
        value_bytes = 4 if self.dtype(config) == "float32" else 2
        return replace(config.architecture, value_bytes=value_bytes)

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError for an option that the device does not have."""
        for option_name, reason in self.without.items():
            if getattr(config, option_name) != getattr(RunConfig, option_name):
                raise ConfigError(reason)

    def network(self, config: RunConfig) -> Network:
        """Return the network that a measured device computes."""
        return Network(
            self.model(config),
            self.dtype(config),
            config.seed,
            config.temperature,
            config.top_k,
            config.top_p,
        )


def nanoseconds(milliseconds: float | None) -> int | None:
    """Return a time that may not be given in nanoseconds."""
    return None if milliseconds is None else round(milliseconds * 1e6)


def no_sync_check(kind: DeviceKind) -> str:
    """Return why a device has no `--sync-check`."""
    return f"--sync-check watches a CUDA device and this run is on {kind}"


def no_fixed_compute(kind: DeviceKind) -> str:
    """Return why a device has no `--device-ms`."""
    return f"--device-ms is for a modelled GPU: what a step takes on {kind} is measured"


def no_target(kind: DeviceKind) -> str:
    """Return why a device has no `--target`."""
    return (
        f"--target is for a modelled GPU, which is run at many rates: this run is on {kind}"
    )


def no_host_profile(kind: DeviceKind) -> str:
    """Return why a device has no `--host-profile`."""
    return (
        f"--host-profile is for a modelled GPU: what the host takes on {kind} is measured"
    )
