"""The ranks that a trace holds: which of its devices are of one job, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.ranks.group import Group, group
from idlescope.analysis.ranks.layout import place
from idlescope.analysis.ranks.rank import summary
from idlescope.trace.model import Trace


def ranks_together(
    trace: Trace,
    devices: Sequence[MeasuredDevice],
    predictions: Sequence[Prediction | None],
) -> Group | None:
    """Return what the devices of a trace did together; `predictions` are those of each.

    None where there is one device only, and where several processes share a GPU: these are no ranks
    of one job.
    """
    if len(devices) < 2 or any(device.shared is not None for device in devices):
        return None
    numbers = [device.device.index for device in devices]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(devices)))
    ranks = []
    for row, label in enumerate(rank_labels(devices)):
        file_meta = devices[row].view.trace.meta
        said = place(numbers[row], file_meta.path, file_meta.distributed)
        ranks.append(summary(devices[row], predictions[row], label, said, row))
    ranks.sort(key=lambda rank: rank.place.number)
    return group(ranks, one_clock=not trace.meta.clocks_apart)


def rank_labels(devices: Sequence[MeasuredDevice]) -> list[str]:
    """Return what tells each device from the others: its rank or number, else its process."""
    processes = [device.device.process_name for device in devices]
    numbers = [f"device {device.device.index}" for device in devices]
    ranks_named = all(process.startswith("rank ") for process in processes)
    by_preference = (processes, numbers) if ranks_named else (numbers, processes)
    for labels in by_preference:
        if len(set(labels)) == len(labels):
            return labels
    return [
        f"{process}, {number}" for process, number in zip(processes, numbers, strict=True)
    ]
