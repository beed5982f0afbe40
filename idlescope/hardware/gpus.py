"""Peaks of GPUs by board: the only place that knows GPUs by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import ConfigError


@dataclass(frozen=True)
class GPU:
    """Peaks of one board, as its vendor states them: dense bf16, without sparsity."""

    key: str  # what users call it: --gpu, modelled:GPU
    name: str
    bytes_per_s: float  # of its memory
    flops_per_s: float
    memory_bytes: float
    boards: tuple[str, ...]  # what drivers call it, without the vendor's name
    source: str


GPUS = {
    gpu.key: gpu
    for gpu in (
        GPU("h200", "NVIDIA H200 SXM", 4.8e12, 989.4e12, 141e9, ("H200",), "NVIDIA H200 datasheet"),
        GPU("h100", "NVIDIA H100 SXM", 3.35e12, 989.4e12, 80e9, ("H100 80GB HBM3",),
            "NVIDIA H100 datasheet"),
        GPU("a100", "NVIDIA A100 SXM 80GB", 2.039e12, 312e12, 80e9, ("A100-SXM4-80GB",),
            "NVIDIA A100 80GB datasheet"),
        GPU("b200", "NVIDIA B200 SXM", 8.0e12, 2250e12, 180e9, ("B200",),
            "NVIDIA DGX B200 datasheet, one of eight GPUs"),
        GPU("l40s", "NVIDIA L40S", 0.864e12, 362.05e12, 48e9, ("L40S",), "NVIDIA L40S datasheet"),
        GPU("rtx4090", "NVIDIA GeForce RTX 4090", 1.008e12, 165.2e12, 24e9, ("GeForce RTX 4090",),
            "NVIDIA Ada GPU architecture whitepaper, bf16 with fp32 accumulation"),
        GPU("h200-nvl", "NVIDIA H200 NVL", 4.8e12, 835e12, 141e9, ("H200 NVL",),
            "NVIDIA H200 datasheet"),
        GPU("h100-nvl", "NVIDIA H100 NVL", 3.9e12, 835e12, 94e9, ("H100 NVL",),
            "NVIDIA H100 datasheet"),
        GPU("h100-pcie", "NVIDIA H100 PCIe", 2.0e12, 756e12, 80e9, ("H100 PCIe",),
            "NVIDIA H100 PCIe datasheet"),
        GPU("a100-pcie", "NVIDIA A100 PCIe 80GB", 1.935e12, 312e12, 80e9, ("A100 80GB PCIe",),
            "NVIDIA A100 80GB datasheet"),
        GPU("a100-40gb", "NVIDIA A100 40GB", 1.555e12, 312e12, 40e9,
            ("A100-SXM4-40GB", "A100-PCIE-40GB"), "NVIDIA A100 40GB datasheet"),
    )
}  # fmt: skip

_VENDOR = "nvidia "
MODELLED = "modelled "  # before the name of a GPU whose device is modelled, not measured
HOST = ", host "  # behind it, before what its host costs are those of (hardware.latencies)
_BY_NAME = {
    name.lower().removeprefix(_VENDOR): gpu
    for gpu in GPUS.values()
    for name in (gpu.name, *gpu.boards)
}


def called(name: str) -> GPU | None:
    """Return the GPU that a device of this name is; None where the board's peaks are not known.

    `name` is what a driver calls the device (torch, Nsight Systems), or a modelled GPU's name. It
    must be the board's whole name: boards with almost the same one (PCIe, NVL, Laptop, a MIG slice)
    have other peaks.
    """
    name_words = " ".join(name.lower().split())
    if name_words.startswith(MODELLED):
        name_words = name_words.removeprefix(MODELLED).partition(HOST)[0]
    return _BY_NAME.get(name_words.removeprefix(_VENDOR))


def host_of(name: str) -> str | None:
    """Return the key of the host profile that a modelled GPU's name says, if any."""
    return name.partition(HOST)[2] or None


def modelled_name(gpu: GPU, host: str | None = None) -> str:
    """Return what a modelled GPU is called in reports; `host` is the key of its host profile."""
    return f"{MODELLED}{gpu.name}" + ("" if host is None else f"{HOST}{host}")


def gpu(key: str) -> GPU:
    """Return the GPU of that key. Raises ConfigError naming the known ones."""
    try:
        return GPUS[key.lower()]
    except KeyError:
        raise ConfigError(
            f"no GPU is known as {key!r}: choose one of {', '.join(GPUS)}"
        ) from None


def ideal_ns(
    bytes_moved: NDArray[np.float64], flops: NDArray[np.float64], peak: GPU
) -> NDArray[np.float64]:
    """Return the least ns that each operation needs: the longer of its memory and compute time."""
    memory_s = bytes_moved / peak.bytes_per_s
    compute_s = flops / peak.flops_per_s
    return np.asarray(np.maximum(memory_s, compute_s) * 1e9, np.float64)
