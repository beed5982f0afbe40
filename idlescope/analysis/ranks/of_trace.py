"""The ranks that a trace holds: which of its devices are of one job, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.ranks.group import Group, group
from idlescope.analysis.ranks.layout import place
from idlescope.analysis.ranks.rank import summary
from idlescope.analysis.verdict.findings import Verdict, VerdictKind
from idlescope.analysis.verdict.remedy import COMMUNICATE_LESS
from idlescope.trace.model import Device, Trace


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
    seen = [device.device for device in devices]
    labels, numbers = rank_labels(seen), rank_numbers(seen)
    ranks = []
    for row, device in enumerate(devices):
        file_meta = device.view.trace.meta
        said = place(numbers[row], file_meta.path, file_meta.distributed)
        rank = summary(device, predictions[row], labels[row], said, row)
        ranks.append(rank)
    ranks.sort(key=lambda rank: rank.place.number)
    one_clock = not trace.meta.clocks_apart
    one_recorder = one_clock and not trace.meta.of_several_files
    return group(ranks, one_clock, one_recorder)


def with_ranks(group: Group, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdict on each device, in which it says whom it waits for while it communicates.

    `verdicts` are those of the devices by themselves, in the order of `RankSummary.row`.
    """
    told = list(verdicts)
    for index, rank in enumerate(group.ranks):
        waits_pct, verdict = group.waiting_pct[index], told[rank.row]
        if verdict.kind != VerdictKind.COMMUNICATION_BOUND or not group.communicates:
            continue
        waited = group.lateness.waited[index]
        longest = (
            f", most for {group.ranks[int(waited.argmax())].label}" if waited.any() else ""
        )
        what = (
            f"For {waits_pct:.1f} % of the time it only waits for other ranks{longest}: what makes "
            "these late is what to change."
        )
        if 2 * waits_pct < rank.exposed_pct:
            what = (
                f"Only {waits_pct:.1f} % of the time is waiting for other ranks{longest}: "
                "communicate beside the computing (two batches at a time), or less."
            )
        told[rank.row] = replace(verdict, text=verdict.text.replace(COMMUNICATE_LESS, what))
    return told


def rank_numbers(devices: Sequence[Device]) -> list[int]:
    """Return the number of each device where no rank is stated: its own, else its place."""
    numbers = [device.index for device in devices]
    return numbers if len(set(numbers)) == len(numbers) else list(range(len(devices)))


def rank_labels(devices: Sequence[Device]) -> list[str]:
    """Return what tells each device from the others: its rank or number, else its process."""
    processes = [device.process_name for device in devices]
    numbers = [f"device {device.index}" for device in devices]
    are_ranks = all(process.startswith("rank ") for process in processes)
    by_preference = (processes, numbers) if are_ranks else (numbers, processes)
    for labels in by_preference:
        if len(set(labels)) == len(labels):
            return labels
    both = zip(processes, numbers, strict=True)
    return [f"{process}, {number}" for process, number in both]
