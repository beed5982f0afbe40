"""What an analysis found: one typed result for the terminal, the report, pandas and JSON alike.

How it is written as JSON and shown as tables is imported when that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from idlescope.analysis.drawn import Drawn
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.observer import Observer
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.roofline import Roofline
from idlescope.analysis.steps.host_phases import HostPhases, host_phases
from idlescope.trace.model import Trace
from idlescope.trace.names.span_names import SpanNames

if TYPE_CHECKING:
    import pandas as pd

    from idlescope.analysis.document import Document
    from idlescope.analysis.ranks.group import Group


@dataclass(frozen=True, repr=False)
class DeviceResult(MeasuredDevice):
    """What one device did, what it would do asynchronously, and how well it was used."""

    prediction: (
        Prediction | None
    )  # of asynchronous batching, from the steps; None: cannot be told
    roofline: Roofline | None  # None where the GPU or the work of its steps is not known
    observer: (
        Observer | None
    )  # idle without the profiler; None: no profiler, or nothing tells

    def _repr_html_(self) -> str:
        """Return the verdict and the main figures, for notebooks."""
        from idlescope.analysis import frames

        return frames.html(f"{self.device.index} {self.device.name}".strip(), (self,), ())

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `analyze --json` (`document.DeviceEntry`)."""
        from idlescope.analysis import document

        entry = document.device_entry(self, self.prediction, self.roofline, self.observer)
        return dict(msgspec.to_builtins(entry))


@dataclass(frozen=True, repr=False)
class Analysis(Drawn):
    """What `analyze` found: typed results, JSON, and pandas DataFrames with times in integer ns."""

    source: dict[str, Any]
    phases: SpanNames  # what its span names mean
    trace: Trace
    results: tuple[DeviceResult, ...]
    warnings: tuple[str, ...]
    group: Group | None = (
        None  # what its devices did together; None: one device, or one GPU
    )

    def __repr__(self) -> str:
        devices = "; ".join(map(repr, self.results)) or "no devices"
        return f"Analysis of {self.source['path']}: {devices}"

    def _repr_html_(self) -> str:
        """Return the verdict and the main figures of each device, for notebooks."""
        from idlescope.analysis import frames

        return frames.html(str(self.source["path"]), self.results, self.warnings)

    @cached_property
    def host_phases(self) -> tuple[HostPhases, ...]:
        """Return the steps and phases of each process whose spans are known."""
        return host_phases(self.trace, self.phases)

    @property
    def engine(self) -> str:
        """Return whose span names the trace holds; empty where none is known."""
        return self.phases.engine

    def document(self) -> Document:
        """Return what `idlescope analyze --json` prints, typed."""
        from idlescope.analysis.document import step_entries

        steps = [step for result in self.results for step in step_entries(result)]
        return msgspec.structs.replace(self.document_without_steps(), steps=steps)

    def document_without_steps(self) -> Document:
        """Return the same, but for the steps: those of long runs are written in parts."""
        from idlescope.analysis import document
        from idlescope.analysis.ranks.documents import group_entry

        return document.Document(
            schema=document.SCHEMA,
            source=self.source,
            engine=self.engine or None,
            devices=[
                document.device_entry(
                    result, result.prediction, result.roofline, result.observer
                )
                for result in self.results
            ],
            steps=[],
            phases=[document.host_entry(phases) for phases in self.host_phases],
            warnings=list(self.warnings),
            ranks=None if self.group is None else group_entry(self.group),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `idlescope analyze --json` prints (`document.Document`)."""
        return dict(msgspec.to_builtins(self.document()))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per device: the scalar figures of `to_json`, and `<cause>_ns` by cause."""
        from idlescope.analysis import frames

        return frames.devices(self.results)

    @property
    def devices(self) -> pd.DataFrame:
        """Return `to_frame()`."""
        return self.to_frame()

    @property
    def steps(self) -> pd.DataFrame:
        """Return one row per step and device: the columns of `steps` in the JSON."""
        from idlescope.analysis import frames

        return frames.steps(self.results)

    @property
    def gaps(self) -> pd.DataFrame:
        """Return one row per gap that is not shorter than `min_gap_ns`.

        Columns: process, device, start_ns, end_ns, length_ns, host_ns, launch_ns, queued_ns,
        unattributed_ns, step (of the operation that ended it; -1: not known), ended_by (its name),
        launched_by (the call; empty: not captured), thread (the launching one).
        """
        from idlescope.analysis import frames

        return frames.gaps(self.results)

    @property
    def host(self) -> pd.DataFrame:
        """Return how `host` idle divides, largest first.

        Columns: process, device, doing, ns, pct_of_host, pct_of_idle.
        """
        from idlescope.analysis import frames

        return frames.host(self.results)
