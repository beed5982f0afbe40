"""What a GPU could do at best, and the share of it that was achieved: active is not the same as useful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.errors import ConfigError
from idlescope.trace.model import Float64, Operations


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


def gpu(key: str) -> GPU:
    """Return the GPU of that key. Raises ConfigError naming the known ones."""
    try:
        return GPUS[key.lower()]
    except KeyError:
        raise ConfigError(f"no GPU is known as {key!r}: choose one of {', '.join(GPUS)}") from None


def ideal_ns(bytes_moved: Float64, flops: Float64, peak: GPU) -> Float64:
    """Return the nanoseconds that each operation needs at the least: the larger of its memory and its compute time."""
    return np.asarray(np.maximum(bytes_moved / peak.bytes_per_s, flops / peak.flops_per_s) * 1e9, np.float64)


def achieved_pct(operations: Operations, window_ns: int, peak: GPU) -> float | None:
    """Return the share of a window that the compute in it needs at the peak; None where no operation states its work.

    100 % is a device that is never idle and runs every step at its roofline.
    """
    known = operations.flops > 0
    if not known.any() or window_ns <= 0:
        return None
    ideal = ideal_ns(operations.bytes[known].astype(np.float64), operations.flops[known], peak)
    return 100.0 * float(ideal.sum()) / window_ns
