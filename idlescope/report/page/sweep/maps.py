"""Maps of a sweep: idle in either mode and the gain, by batch size, a line for each model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from idlescope.palette import BLUE, MODE_TITLES, VERMILION
from idlescope.report.page.section import FragmentData, Section, fragment_beside
from idlescope.report.text import NOTHING

Rows = Sequence[dict[str, Any]]  # of sweep.json
STRONGEST = 0.6  # opacity of the largest figure: letters on it can still be read
LEAST_IDLE_PCT, LEAST_GAIN = 10.0, 0.1  # what the strongest colour stands for at least


class Figure(NamedTuple):
    """What a map shows of each cell."""

    title: str
    mode: str
    key: str  # of a row
    form: str
    zero: float  # what has no colour
    colour: str


class MapCell(NamedTuple):
    """One figure; the colour is as strong as it is large."""

    text: str
    opacity: float
    reason: str  # why there is none


class Map(NamedTuple):
    """One figure of all cells of a device."""

    title: str
    colour: str
    batches: list[int]
    lines: list[tuple[str, list[MapCell]]]


def fill(document: dict[str, Any]) -> FragmentData | None:
    """Return maps for each device; None where nothing was run."""
    rows = document["rows"]
    if not rows:
        return None
    figures = list(_figures(rows))
    strongest = [_strongest(figure, rows) for figure in figures]
    devices = []
    for _, of_device in groupby(rows, lambda row: row["device"]):
        device_rows = list(of_device)
        maps = [
            _map(figure, device_rows, most)
            for figure, most in zip(figures, strongest, strict=True)
        ]
        devices.append((_title(device_rows), maps))
    return {"devices": devices}


def _figures(rows: Rows) -> Iterator[Figure]:
    modes = dict.fromkeys(row["mode"] for row in rows)
    for mode in modes:
        title = f"idle, {MODE_TITLES[mode]}, %"
        yield Figure(title, mode, "idle_pct", "{:.1f}", 0.0, VERMILION)
    if any(row["speedup"] is not None for row in rows):
        yield Figure("times faster", next(iter(modes)), "speedup", "{:.2f}", 1.0, BLUE)


def _strongest(figure: Figure, rows: Rows) -> float:
    """Return how far the scale of a figure goes beyond its zero."""
    known = [row[figure.key] for row in rows if row[figure.key] is not None]
    least = LEAST_IDLE_PCT if figure.key == "idle_pct" else LEAST_GAIN
    return max([least, *(value - figure.zero for value in known)])


def _map(figure: Figure, rows: Rows, most: float) -> Map:
    of_mode = [row for row in rows if row["mode"] == figure.mode]
    batches = sorted({row["batch_size"] for row in of_mode})
    lines = []
    for key, of_line in groupby(of_mode, lambda row: (row["model"], row["host_ms"])):
        by_batch = {row["batch_size"]: row for row in of_line}
        cells = [_cell(figure, by_batch.get(batch), most) for batch in batches]
        lines.append((_line_title(*key), cells))
    return Map(figure.title, figure.colour, batches, lines)


def _cell(figure: Figure, row: dict[str, Any] | None, most: float) -> MapCell:
    if row is None or row[figure.key] is None:
        return MapCell(NOTHING, 0.0, "" if row is None else row["reason"] or "")
    value = row[figure.key]
    strength = min(max((value - figure.zero) / most, 0.0), 1.0)
    return MapCell(figure.form.format(value), STRONGEST * strength, "")


def _line_title(model: str, host_ms: float | None) -> str:
    return model if host_ms is None else f"{model}, host {host_ms:g} ms"


def _title(rows: Rows) -> str:
    """Return what a device is called; a modelled one says so in its name."""
    named = (row["device_name"] for row in rows if row["device_name"])
    return str(next(named, rows[0]["device"]))


SECTION = Section("Idle and gain by batch size", fragment_beside(__file__), fill)
