"""What pages say, before anything is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from idlescope.analysis.prediction.curve import HostCost
from idlescope.analysis.ranks.group import Group
from idlescope.experiment.document import PublishedHost
from idlescope.report.work_line import WorkLine

LONG_VALUE = 18  # characters
TableRows = Sequence[tuple[str, Sequence[str]]]  # a label, and one cell per column


class Tile(NamedTuple):
    """One of the few figures that matter: what it is, the figure, and what stands behind it."""

    label: str
    value: str
    note: str = ""

    @property
    def is_long(self) -> bool:
        """Return whether the figure is words rather than a number."""
        return len(self.value) > LONG_VALUE


@dataclass(frozen=True)
class Head:
    """What every page begins with."""

    title: str
    verdict: str  # the sentence that answers
    measured: str  # says whether the figures are measured or modelled
    further: Sequence[str] = ()  # sentences that belong to the verdict
    tiles: Sequence[Tile] = ()


@dataclass(frozen=True)
class Page:
    """The content of the page of a run or of a trace. Its sections (page/sections) arrange it."""

    head: Head
    columns: Sequence[str]  # of the main table
    rows: TableRows  # the main table
    lines: Sequence[WorkLine]  # empty where no device was seen
    warnings: Sequence[str]
    command: str
    environment: dict[str, str]
    still: Path | None = None  # the SVG picture that stands for the timeline in print
    cost: HostCost | None = None  # idle over host work, where steps can be replayed
    group: Group | None = None  # what several devices did together
    published_host: PublishedHost | None = None  # what it would make of the steps of `cost`
    predictions: Sequence[str] = ()  # sentences
    files: Sequence[str] = ()  # names of files beside the page
    open_with: Sequence[tuple[str, str]] = field(default_factory=tuple)  # purpose, command
    latencies: bool = False  # the main table has latency figures, which are then explained
