"""Peaks of GPUs, and which GPU a device's name stands for: the only place that knows a GPU by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import ConfigError


@dataclass(frozen=True)
class GPU:
    """Peaks of one GPU: dense bf16 without sparsity, as its vendor states them."""

    key: str
    name: str
    bytes_per_s: float
    flops_per_s: float
    memory_bytes: float
    source: str


GPUS = {
    gpu.key: gpu
    for gpu in (
        GPU("h200", "NVIDIA H200 SXM", 4.8e12, 989.4e12, 141e9, "NVIDIA H200 datasheet"),
        GPU("h100", "NVIDIA H100 SXM", 3.35e12, 989.4e12, 80e9, "NVIDIA H100 datasheet"),
        GPU("a100", "NVIDIA A100 SXM 80GB", 2.039e12, 312e12, 80e9, "NVIDIA A100 80GB datasheet"),
        GPU("b200", "NVIDIA B200 SXM", 8.0e12, 2250e12, 180e9, "NVIDIA DGX B200 datasheet, one of eight GPUs"),
        GPU("l40s", "NVIDIA L40S", 0.864e12, 362.05e12, 48e9, "NVIDIA L40S datasheet"),
        GPU("rtx4090", "NVIDIA GeForce RTX 4090", 1.008e12, 165.2e12, 24e9,
            "NVIDIA Ada GPU architecture whitepaper, bf16 with fp32 accumulation"),
    )
}  # fmt: skip


# What drivers call them. Boards of the same name have other peaks: PCIe and NVL ones, those of 40 GB.
_NAMES = {
    "h200": r"\bH200\b(?!.*NVL)", "h100": r"\bH100 (SXM|80GB HBM3)", "a100": r"\bA100[- ]SXM4?[- ]80GB",
    "b200": r"\bB200\b", "l40s": r"\bL40S\b", "rtx4090": r"\bRTX 4090\b(?! (D|Laptop))",
}  # fmt: skip


def called(name: str) -> GPU | None:
    """Return the GPU that a device's name stands for; None where its peaks are not known."""
    return next((GPUS[key] for key, pattern in _NAMES.items() if re.search(pattern, name)), None)


def gpu(key: str) -> GPU:
    """Return the GPU of that key. Raises ConfigError naming the known ones."""
    try:
        return GPUS[key.lower()]
    except KeyError:
        raise ConfigError(f"no GPU is known as {key!r}: choose one of {', '.join(GPUS)}") from None


def ideal_ns(
    bytes_moved: NDArray[np.float64], flops: NDArray[np.float64], peak: GPU
) -> NDArray[np.float64]:
    """Return the nanoseconds that each operation needs at the least: the larger of its memory and its compute time."""
    return np.asarray(
        np.maximum(bytes_moved / peak.bytes_per_s, flops / peak.flops_per_s) * 1e9, np.float64
    )
