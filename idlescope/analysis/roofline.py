"""What a GPU could do at best, and the share of it that was achieved: active is not the same as useful."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.stated_work import Architecture, Work, steps_work
from idlescope.hardware.gpus import GPU, GPUS, called, ideal_ns
from idlescope.trace.model import Operations, Trace
from idlescope.trace.table import Float64


def achieved_pct(operations: Operations, window_ns: int, peak: GPU) -> float | None:
    """Return the share of a window that the compute in it needs at the peak; None where no operation states its work.

    100 % is a device that is never idle and runs every step at its roofline.
    """
    known = operations.flops > 0
    if not known.any() or window_ns <= 0:
        return None
    ideal = ideal_ns(operations.bytes[known].astype(np.float64), operations.flops[known], peak)
    return 100.0 * float(ideal.sum()) / window_ns


@dataclass(frozen=True)
class Roofline:
    """What a device achieved of its peaks, over the steps whose work is known."""

    gpu: GPU
    basis: str  # where the work is known from
    steps: int
    bytes_per_step: float
    flops_per_step: float
    bandwidth_pct: float  # bytes/s over the steps' time, idle time included, of the peak
    compute_pct: float  # FLOP/s, the same
    roofline_pct: float  # time that the work needs at the peaks, of the steps' time
    active_roofline_pct: float  # the same, of the time when the device was active
    active_pct: float  # of the steps' time

    def to_json(self) -> dict[str, Any]:
        """Return the `roofline` entry of a device."""
        return {
            "gpu": self.gpu.key, "basis": self.basis, "steps": self.steps, "bytes_per_step": self.bytes_per_step,
            "flops_per_step": self.flops_per_step, "bandwidth_pct": self.bandwidth_pct,
            "compute_pct": self.compute_pct, "roofline_pct": self.roofline_pct,
            "active_roofline_pct": self.active_roofline_pct, "text": self.text(),
        }  # fmt: skip

    def text(self) -> str:
        """Return the figures in a sentence."""
        return (
            f"Active {self.active_pct:.1f} % of the time, but at {self.active_roofline_pct:.0f} % of the roofline of "
            f"one {self.gpu.name}: {self.bandwidth_pct:.0f} % of its bandwidth and {self.compute_pct:.1f} % of its "
            f"compute are used ({self.bytes_per_step / 1e9:.1f} GB and {self.flops_per_step / 1e12:.2f} TFLOP a step; "
            f"{self.basis})."
        )


def measure(
    trace: Trace, result: MeasuredDevice, peak: GPU | None = None, model: Architecture | None = None,
    batch_size: int | None = None, context: int | None = None,
) -> Roofline | None:  # fmt: skip
    """Return what a device achieved; None where its peaks, or the work of its steps, are not known.

    The GPU is `peak`, else the one that a recording was modelled on, else what the trace calls the device. The work is
    what a recording says, else that of `model`, with batch and context from span names or as given (`steps_work`).
    """
    peak = peak or GPUS.get(trace.meta.gpu) or called(result.device.name)
    steps = result.steps
    if peak is None or not len(steps):
        return None
    moved, flops = _recorded(result)
    basis = "as recorded"
    if not flops.any() and model is not None:
        work = steps_work(trace, result, batch_size, context)
        if work is None:
            return None
        moved, flops = _needed(model, work)
        basis = _basis(model, work)
    known = (flops > 0) & (steps.device > 0)
    if not known.any():
        return None
    total, active = int((steps.device + steps.idle)[known].sum()), int(steps.device[known].sum())
    ideal = float(ideal_ns(moved[known], flops[known], peak).sum())
    return Roofline(
        gpu=peak,
        basis=basis,
        steps=int(known.sum()),
        bytes_per_step=float(moved[known].mean()),
        flops_per_step=float(flops[known].mean()),
        bandwidth_pct=100.0 * float(moved[known].sum()) / (peak.bytes_per_s * total / 1e9),
        compute_pct=100.0 * float(flops[known].sum()) / (peak.flops_per_s * total / 1e9),
        roofline_pct=100.0 * ideal / total,
        active_roofline_pct=100.0 * ideal / active,
        active_pct=100.0 * active / total,
    )


def _recorded(result: MeasuredDevice) -> tuple[Float64, Float64]:
    """Return the bytes and operations of each step that its compute operations state."""
    operations, number = result.operations, result.steps.number
    at = np.minimum(np.searchsorted(number, result.step), number.size - 1)
    known = (operations.flops > 0) & (number[at] == result.step)
    moved, flops = np.zeros(number.size), np.zeros(number.size)
    np.add.at(moved, at[known], operations.bytes[known])
    np.add.at(flops, at[known], operations.flops[known])
    return moved, flops


def _needed(model: Architecture, work: Work) -> tuple[Float64, Float64]:
    """Return the bytes and operations of each step of a model; 0 operations where its tokens are not known."""
    rows = np.maximum(
        np.column_stack((work.tokens, work.sampled, work.context, work.pairs)), 0
    ).tolist()
    moved = np.array([model.step_bytes(context) for _, _, context, _ in rows], np.float64)
    flops = np.array(
        [model.step_flops(tokens, sampled, pairs) for tokens, sampled, _, pairs in rows], np.float64
    )
    return moved, np.where(work.known, flops, 0.0)


def _basis(model: Architecture, work: Work) -> str:
    rows, context = work.sampled[work.known], work.context[work.known]
    batch = f"{rows.min():,}" if rows.min() == rows.max() else f"{rows.min():,} to {rows.max():,}"
    if (context < 0).any():
        cached = "at the least: the context is not known, so that only weights count as read"
    else:
        cached = f"{context.sum() / max(int(rows.sum()), 1):,.0f} tokens of context a request"
    return f"{model.name}, batch {batch}, {cached}"
