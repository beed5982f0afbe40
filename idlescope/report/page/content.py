"""What a report page says, before anything is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from idlescope.report.work_line import WorkLine

TableRows = Sequence[tuple[str, Sequence[str]]]  # a label, and one cell per column


@dataclass(frozen=True)
class Page:
    """The content of one page. Its sections (page/sections) arrange it."""

    title: str
    verdict: str
    measured: str  # says whether the figures are measured or modelled
    headline: Sequence[
        tuple[str, str]
    ]  # the two or three figures that matter: value, label
    columns: Sequence[str]  # of the main table
    rows: TableRows  # the main table
    figures: dict[str, Path]  # SVG files by name (CAPTIONS in pictures.py)
    lines: Sequence[WorkLine]  # empty where no device was seen
    warnings: Sequence[str]
    command: str
    environment: dict[str, str]
    predictions: Sequence[str] = ()  # sentences
    files: Sequence[str] = ()  # names of files beside the page
    open_with: Sequence[tuple[str, str]] = field(default_factory=tuple)  # purpose, command
    latencies: bool = False  # the main table has latency figures, which are then explained
