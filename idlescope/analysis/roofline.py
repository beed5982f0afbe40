"""What a GPU could do at best, and the share of it that was achieved: active is not useful."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis.grouping import by_key
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.stated_work import Architecture, Work, steps_work
from idlescope.hardware.gpus import GPU, GPUS, called, ideal_ns
from idlescope.trace.model import Operations
from idlescope.trace.table import Float64


class Roofline(Struct, frozen=True):
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

    def text(self) -> str:
        """Return the figures in a sentence."""
        gigabytes = self.bytes_per_step / 1e9
        teraflop = self.flops_per_step / 1e12
        return (
            f"Active {self.active_pct:.1f} % of the time, but at {self.active_roofline_pct:.0f} % "
            f"of the roofline of one {self.gpu.name}: {self.bandwidth_pct:.0f} % of its bandwidth "
            f"and {self.compute_pct:.1f} % of its compute are used ({gigabytes:.1f} GB and "
            f"{teraflop:.2f} TFLOP per step; {self.basis})."
        )


class _Needs(NamedTuple):
    """What each step must do; 0 operations where that is not known."""

    moved_bytes: Float64
    flops: Float64
    basis: str  # where that is known from


def achieved_pct(operations: Operations, window_ns: int, peak: GPU) -> float | None:
    """Return the share of a window that its compute needs at the peak; None: no work is stated.

    100 % is a device that is never idle and runs every step at its roofline.
    """
    stated = operations.take(operations.flops > 0)
    if not len(stated) or window_ns <= 0:
        return None
    needed_ns = ideal_ns(stated.bytes.astype(np.float64), stated.flops, peak)
    return 100.0 * float(needed_ns.sum()) / window_ns


def measure(
    device: MeasuredDevice,
    peak: GPU | None = None,
    model: Architecture | None = None,
    batch_size: int | None = None,
    context: int | None = None,
) -> Roofline | None:
    """Return what a device achieved; None where its peaks, or the work of its steps, are not known.

    The GPU is `peak`, else the one that a recording was modelled on, else what the trace calls the
    device. The work is what a recording says, else that of `model`, with batch and context from
    span names or as given (`steps_work`).
    """
    modelled_on = GPUS.get(device.view.trace.meta.gpu)
    peak = peak or modelled_on or called(device.device.name)
    if peak is None or not len(device.steps):
        return None
    needs = _recorded(device)
    if not needs.flops.any() and model is not None:
        work = steps_work(device, batch_size, context)
        if work is None:
            return None
        needs = _of_model(model, work)
    return _achieved(device, needs, peak)


def _achieved(device: MeasuredDevice, needs: _Needs, peak: GPU) -> Roofline | None:
    """Return what a device achieved in the steps whose needs are known; None: there is none."""
    steps = device.steps
    known = (needs.flops > 0) & (steps.device > 0)
    if not known.any():
        return None
    moved_bytes, flops = needs.moved_bytes[known], needs.flops[known]
    active_ns = int(steps.device[known].sum())
    total_ns = int((steps.device + steps.idle)[known].sum())
    needed_ns = float(ideal_ns(moved_bytes, flops, peak).sum())
    return Roofline(
        gpu=peak,
        basis=needs.basis,
        steps=int(known.sum()),
        bytes_per_step=float(moved_bytes.mean()),
        flops_per_step=float(flops.mean()),
        bandwidth_pct=100.0
        * float(moved_bytes.sum())
        / (peak.bytes_per_s * total_ns / 1e9),
        compute_pct=100.0 * float(flops.sum()) / (peak.flops_per_s * total_ns / 1e9),
        roofline_pct=100.0 * needed_ns / total_ns,
        active_roofline_pct=100.0 * needed_ns / active_ns,
        active_pct=100.0 * active_ns / total_ns,
    )


def _recorded(device: MeasuredDevice) -> _Needs:
    """Return the bytes and operations of each step that its compute operations state."""
    stating = device.operations.flops > 0
    operations = device.operations.take(stating)
    by_step, known = by_key(device.steps.number, device.step[stating])
    return _Needs(
        moved_bytes=by_step.total_of_floats(operations.bytes[known].astype(np.float64)),
        flops=by_step.total_of_floats(operations.flops[known]),
        basis="as recorded",
    )


def _of_model(model: Architecture, work: Work) -> _Needs:
    """Return the bytes and operations that each step of a model needs for its work."""
    columns = np.column_stack((work.tokens, work.sampled, work.context, work.pairs))
    rows = np.maximum(columns, 0).tolist()
    moved_bytes = [model.step_bytes(context) for _, _, context, _ in rows]
    flops = [model.step_flops(tokens, sampled, pairs) for tokens, sampled, _, pairs in rows]
    return _Needs(
        moved_bytes=np.array(moved_bytes, np.float64),
        flops=np.where(work.known, np.array(flops, np.float64), 0.0),
        basis=_basis(model, work),
    )


def _basis(model: Architecture, work: Work) -> str:
    """Return the model, its batch and its context in words."""
    batch, context = work.sampled[work.known], work.context[work.known]
    smallest, largest = int(batch.min()), int(batch.max())
    sizes = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    if (context < 0).any():
        cached = (
            "at the least: the context is not known, so that only weights count as read"
        )
    else:
        per_request = context.sum() / max(int(batch.sum()), 1)
        cached = f"{per_request:,.0f} tokens of context per request"
    return f"{model.name}, batch {sizes}, {cached}"
