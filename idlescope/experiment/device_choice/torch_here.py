"""Whether torch is here, and what it sees; torch itself is imported as late as can be."""

from __future__ import annotations

import importlib.util

from idlescope.doctor.machine import Machine
from idlescope.errors import ConfigError


def has_torch() -> bool:
    """Return whether torch can be imported."""
    return importlib.util.find_spec("torch") is not None


def require_torch(device: str) -> None:
    """Raise ConfigError where torch is not here, which a device needs."""
    if not has_torch():
        raise ConfigError(
            f"--device {device} needs torch: pip install 'idlescope[torch]', or use --device "
            "modelled"
        )


def cuda_available() -> bool:
    """Return whether torch sees a CUDA device.

    Torch is imported only where there are signs of a driver.
    """
    if not Machine().has_driver() or not has_torch():
        return False
    import torch

    return bool(torch.cuda.is_available())


def cuda_name() -> str:
    """Return what the current CUDA device is called."""
    import torch

    return str(torch.cuda.get_device_name())
