"""Which device a run is on, and how large a KV cache it has."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from idlescope.analysis.roofline import GPU, GPUS, gpu
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig

DEFAULT_GPU = "h200"
USABLE_MEMORY = 0.9  # share of the device's memory for weights and KV cache: vLLM's gpu_memory_utilization default


class Choice(NamedTuple):
    """The device that a name stands for, and one line that says so where the user did not choose."""

    gpu: GPU
    note: str | None


def choose(name: str) -> Choice:
    """Return the device called `auto` or `modelled[:GPU]`. Raises ConfigError for one that cannot be driven."""
    kind, _, which = name.lower().partition(":")
    if kind == "auto" and not which:
        seen = "a CUDA device is here but this version cannot drive it yet" if cuda_available() else "no CUDA device"
        return Choice(
            gpu(DEFAULT_GPU), f"{seen}: using a modelled {GPUS[DEFAULT_GPU].name}; its times are not measured"
        )
    if kind == "modelled":
        return Choice(gpu(which or DEFAULT_GPU), None)
    if kind in ("cuda", "cpu") and not which:
        raise ConfigError(f"--device {kind} is not in this version yet: use --device modelled, or analyze a trace")
    raise ConfigError(
        f"no device is called {name!r}: use auto, cpu, cuda or modelled:GPU, with GPU of {', '.join(GPUS)}"
    )


def cuda_available() -> bool:
    """Return whether torch sees a CUDA device; torch is imported only where a driver is loaded."""
    if not Path("/proc/driver/nvidia/version").exists() or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def make(config: RunConfig, chosen: GPU) -> ModelledDevice:
    """Return a fresh device for one mode of a run."""
    return ModelledDevice(chosen, config.architecture, config.seed, _ns(config.host_ms), _ns(config.device_ms))


def kv_blocks(config: RunConfig, chosen: GPU) -> tuple[int, str | None]:
    """Return how many KV blocks the run has, and a warning where the model does not fit the device.

    Unless given: what memory is left beside the weights, but no more than all rows can fill.
    """
    wanted = config.rows * -(-config.length // config.block_size)
    if config.kv_blocks is not None:
        return config.kv_blocks, None
    architecture = config.architecture
    left = chosen.memory_bytes * USABLE_MEMORY - architecture.weight_bytes
    fitting = int(left // (architecture.kv_bytes_per_token * config.block_size))
    if fitting * config.block_size >= config.length:
        return min(wanted, fitting), None
    need = (architecture.weight_bytes + architecture.kv_bytes_per_token * config.length) / 1e9
    return wanted, (
        f"{architecture.name} with one request of {config.length} tokens needs {need:.1f} GB and "
        f"{chosen.name} has {chosen.memory_bytes * USABLE_MEMORY / 1e9:.1f} GB to use: modelled as if it all fitted"
    )


def _ns(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 1e6)
