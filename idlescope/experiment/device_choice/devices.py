"""Which device a run is on, and how large a KV cache it has."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from dataclasses import replace
from typing import NamedTuple

from idlescope.doctor.machine import Machine
from idlescope.engine.devices.base import Device
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.network.network import Network
from idlescope.engine.running_rows import Shape
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.hardware.gpus import GPU, GPUS, called, gpu
from idlescope.models.architecture import Model

DEFAULT_GPU = "h200"
USABLE_MEMORY = 0.9  # share of the device's memory for weights and KV cache: vLLM's gpu_memory_utilization default
USABLE_HOST_MEMORY = 0.5  # the same of a machine that does other things too
# what transformers' batching is not asked for here: it has its own KV blocks, and runs greedily
NOT_TRANSFORMERS = (
    "arrival", "block_size", "kv_blocks", "host_ms", "sync_check", "temperature", "top_k", "top_p",
)  # fmt: skip


class Choice(NamedTuple):
    """The device that a name stands for, and one line that says so where the user did not choose."""

    kind: str  # modelled, cpu or cuda
    gpu: GPU | None  # whose peaks a roofline is drawn with; None where they are not known
    note: str | None = None


def choose(name: str) -> Choice:
    """Return the device called auto, cpu, cuda or modelled[:GPU]. Raises ConfigError for one that is not here."""
    kind, _, which = name.lower().partition(":")
    if kind == "auto" and not which:
        if cuda_available():
            chosen = choose("cuda")
            return chosen._replace(note=f"using the CUDA device {cuda_name()}")
        return Choice(
            "modelled",
            gpu(DEFAULT_GPU),
            f"no CUDA device: using a modelled {GPUS[DEFAULT_GPU].name}; its times are not measured",
        )
    if kind == "modelled":
        return Choice(kind, gpu(which or DEFAULT_GPU))
    if kind in ("cpu", "cuda") and not which:
        if importlib.util.find_spec("torch") is None:
            raise ConfigError(
                f"--device {kind} needs torch: pip install 'idlescope[torch]', or use --device modelled"
            )
        if kind == "cpu":
            return Choice(kind, None)
        if not cuda_available():
            raise ConfigError("torch sees no CUDA device: use --device cpu or --device modelled")
        return Choice(kind, called(cuda_name()))
    raise ConfigError(
        f"no device is called {name!r}: use auto, cpu, cuda or modelled:GPU, with GPU of {', '.join(GPUS)}"
    )


def cuda_available() -> bool:
    """Return whether torch sees a CUDA device; torch is imported only where there are signs of a driver."""
    if not Machine().has_driver():
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def cuda_name() -> str:
    """Return what the current CUDA device is called."""
    import torch

    return str(torch.cuda.get_device_name())


def make(config: RunConfig, chosen: Choice) -> Device:
    """Return a fresh device for one mode of a run."""
    host_ns = _ns(config.host_ms)
    if chosen.kind == "modelled":
        assert chosen.gpu is not None
        return ModelledDevice(
            chosen.gpu, config.architecture, config.seed, host_ns, _ns(config.device_ms)
        )
    network = Network(
        model_for(config, chosen), dtype(config, chosen), config.seed, config.temperature, config.top_k,
        config.top_p,
    )  # fmt: skip
    if chosen.kind == "cpu":
        return CpuDevice(network, host_ns)
    try:
        from idlescope.engine.devices.cuda import CudaDevice
    except ImportError as error:
        raise ConfigError(f"--device cuda needs torch 2.11 or later and triton: {error}") from None
    return CudaDevice(network, config.graphs, config.sync_check, host_ns)


def check(config: RunConfig, chosen: Choice) -> None:
    """Raise ConfigError for options that a device or an engine does not have."""
    if config.engine == "transformers":
        _check_transformers(config, chosen)
    if chosen.kind != "modelled" and config.device_ms is not None:
        raise ConfigError(
            f"--device-ms is for a modelled GPU: what a step takes on {chosen.kind} is measured"
        )
    if chosen.kind == "modelled" and config.profile is not None:
        raise ConfigError(
            "--profile records a measured device, and this run is on a modelled one: use --device cpu or cuda"
        )
    if chosen.kind != "cuda" and config.sync_check != "off":
        raise ConfigError(f"--sync-check watches a CUDA device and this run is on {chosen.kind}")


def _check_transformers(config: RunConfig, chosen: Choice) -> None:
    if chosen.kind == "modelled":
        raise ConfigError(
            "--engine transformers runs on a real device, and this would be a modelled one: use --device cpu or cuda"
        )
    if chosen.kind == "cpu" and config.mode == "async":
        raise ConfigError("asynchronous batching of transformers needs CUDA: use --mode sync")
    for name in NOT_TRANSFORMERS:
        if getattr(config, name) != getattr(RunConfig, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is not for --engine transformers: leave it out"
            )
    if config.demand.open:
        raise ConfigError(
            f"--engine transformers has all requests at the start, and in {config.workload} some arrive"
        )


def runnable(config: RunConfig, chosen: Choice) -> RunConfig:
    """Return the configuration with the modes that can be run: transformers' asynchronous one needs CUDA."""
    only_sync = config.engine == "transformers" and chosen.kind == "cpu" and config.mode == "both"
    return replace(config, mode="sync") if only_sync else config


def dtype(config: RunConfig, chosen: Choice) -> str:
    """Return the type of weights and KV cache: float32 on a CPU, where others are slow, else the model's own."""
    if config.dtype not in (None, "auto"):
        return str(config.dtype)
    return "float32" if chosen.kind == "cpu" else config.architecture.dtype


def model_for(config: RunConfig, chosen: Choice) -> Model:
    """Return the model with the bytes of a value that the device computes in; a modelled GPU's are of 16 bits."""
    if chosen.kind == "modelled":
        return config.architecture
    return replace(config.architecture, value_bytes=4 if dtype(config, chosen) == "float32" else 2)


def shape(config: RunConfig, chosen: Choice) -> tuple[Shape, str | None]:
    """Return the sizes of a run's arrays, and a warning where a modelled GPU is too small for the model.

    Unless given there are as many KV blocks as the memory left beside the weights holds, but no more than all rows can
    fill. Raises ConfigError where a measured device is too small.
    """
    sizes = config.shape(0)
    wanted = sizes.rows * sizes.table_width
    if config.kv_blocks is not None:
        return replace(sizes, blocks=config.kv_blocks), None
    problem = misfit(config, chosen)
    if problem is None:
        return replace(sizes, blocks=min(wanted, free_blocks(config, chosen))), None
    if chosen.kind != "modelled":
        raise ConfigError(f"{problem}: take a smaller model or fewer tokens, or --device modelled")
    return replace(sizes, blocks=wanted), f"{problem}: modelled as if it all fitted"


def misfit(config: RunConfig, chosen: Choice) -> str | None:
    """Return why the model and its longest request do not fit a device; None where they do."""
    model = model_for(config, chosen)
    sizes = config.shape(0)
    if free_blocks(config, chosen) >= sizes.table_width:
        return None
    usable, name = usable_memory(chosen)
    need = (model.weight_bytes + model.kv_bytes_per_token * sizes.length) / 1e9
    return (
        f"{model.name} with one request of {sizes.length} tokens needs {need:.1f} GB and "
        f"{name} has {usable / 1e9:.1f} GB to use"
    )


def free_blocks(config: RunConfig, chosen: Choice) -> int:
    """Return how many KV blocks the memory left beside the weights holds; negative where not even those fit."""
    model = model_for(config, chosen)
    usable, _ = usable_memory(chosen)
    return int((usable - model.weight_bytes) // (model.kv_bytes_per_token * config.block_size))


def free_memory() -> None:
    """Give back what a run that failed on a CUDA device still holds there."""
    torch = sys.modules.get("torch")
    gc.collect()
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def usable_memory(chosen: Choice) -> tuple[float, str]:
    """Return the bytes for weights and KV cache, and the name of what has them."""
    if chosen.kind == "cuda":
        import torch

        return USABLE_MEMORY * torch.cuda.mem_get_info()[0], cuda_name()
    if chosen.kind == "cpu":
        return USABLE_HOST_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf(
            "SC_PHYS_PAGES"
        ), "this machine"
    assert chosen.gpu is not None
    return USABLE_MEMORY * chosen.gpu.memory_bytes, chosen.gpu.name


def _ns(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 1e6)
