"""Find the device that a name stands for."""

from __future__ import annotations

from collections.abc import Callable

from idlescope.errors import ConfigError
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.device_choice.cpu import CpuChoice
from idlescope.experiment.device_choice.cuda import CudaChoice
from idlescope.experiment.device_choice.modelled import ModelledChoice
from idlescope.experiment.device_choice.torch_here import cuda_available, cuda_name
from idlescope.hardware.gpus import GPUS


def automatic() -> DeviceChoice:
    """Return the CUDA device where there is one, else a modelled GPU.

    Its note says which it was.
    """
    if cuda_available():
        return CudaChoice.here(f"using the CUDA device {cuda_name()}")
    return ModelledChoice.instead_of_cuda()


DEVICES: dict[str, Callable[[], DeviceChoice]] = {
    "auto": automatic,
    "cpu": CpuChoice.here,
    "cuda": CudaChoice.here,
}
# those of which there are several, chosen after a colon
FAMILIES: dict[str, Callable[[str], DeviceChoice]] = {"modelled": ModelledChoice.named}


def choose(name: str) -> DeviceChoice:
    """Return the device called auto, cpu, cuda or modelled[:GPU].

    Raises ConfigError for one that is not here.
    """
    family, _, variant = name.lower().partition(":")
    if family in FAMILIES:
        return FAMILIES[family](variant)
    if family in DEVICES and not variant:
        return DEVICES[family]()
    known_devices = f"{', '.join(DEVICES)} or modelled:GPU, with GPU of {', '.join(GPUS)}"
    raise ConfigError(f"no device is called {name!r}: use {known_devices}")
