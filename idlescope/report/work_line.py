"""A line of work: what every table, figure and timeline of a report shows side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.palette import MODE_TITLES
from idlescope.trace.model import Trace
from idlescope.trace.names.span_names import SpanNames


@dataclass(frozen=True)
class WorkLine:
    """One mode of a run, or one device of a trace, with what was found in it."""

    label: str  # a mode of MODE_TITLES, or what tables call the device
    trace: Trace
    result: DeviceResult
    names: SpanNames  # what the trace's span names mean

    @property
    def title(self) -> str:
        """The label in full: a mode by its whole name."""
        return MODE_TITLES.get(self.label, self.label)


def device_label(result: MeasuredDevice) -> str:
    """Return what tables call a device: its number and its name."""
    return f"{result.device.index} {result.device.name}".strip() or "device"


def device_labels(results: Sequence[MeasuredDevice]) -> list[str]:
    """Return what tables call each of some devices; those called alike with their process."""
    labels = [device_label(result) for result in results]
    times_used = Counter(labels)
    return [
        f"{label}, {result.device.process_name}" if times_used[label] > 1 else label
        for label, result in zip(labels, results, strict=True)
    ]


def of_analysis(analysis: Analysis) -> list[WorkLine]:
    """Return a line for each device of a trace."""
    return [
        WorkLine(label, result.view.trace, result, analysis.phases)
        for label, result in zip(
            device_labels(analysis.results), analysis.results, strict=True
        )
    ]
