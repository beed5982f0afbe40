"""The page of a sweep: what asynchronous batching gives, over the whole grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from idlescope.experiment.cells import CellState
from idlescope.palette import MODE_TITLES
from idlescope.report.page import frame
from idlescope.report.page.content import Head, Tile
from idlescope.report.page.section import Section
from idlescope.report.page.sweep import answers, cells, maps, origin

SECTIONS: tuple[Section[dict[str, Any]], ...] = (
    maps.SECTION,
    answers.SECTION,
    cells.SECTION,
    origin.SECTION,
)
OVER_ALL = "over all cells"
Rows = Sequence[dict[str, Any]]  # of sweep.json


def write(document: dict[str, Any], path: Path) -> None:
    """Render the page of a sweep.json into a file."""
    frame.write(path, _head(document), SECTIONS, document)


def _head(document: dict[str, Any]) -> Head:
    done = [row for row in document["rows"] if row["state"] == CellState.DONE]
    return Head(
        title=_title(document),
        verdict=_verdict(done),
        measured=_how_measured(done),
        tiles=list(_tiles(document, done)),
    )


def _title(document: dict[str, Any]) -> str:
    grid = document["grid"]
    counted = {
        "model": len(grid["model"]),
        "device": len(grid["device"]),
        "host time": len(grid["host_ms"]),
        "batch size": len(grid["batch_size"]),
    }
    axes = " × ".join(
        f"{count} {name}{'s' if count > 1 else ''}" for name, count in counted.items()
    )
    return f"Sweep: {axes}"


def _verdict(done: Rows) -> str:
    """Return what asynchronous batching gives at most, and where."""
    if not done:
        return "No cell was run to its end: the reasons are in the table of cells."
    gains = [row for row in done if row["speedup"] is not None]
    if not gains:
        return f"{len(done)} cells were run, in one mode: nothing compares the modes."
    best = max(gains, key=lambda row: row["speedup"])
    cell = f"{best['model']} at batch {best['batch_size']} on {_device(best)}"
    return (
        f"Asynchronous batching is up to {best['speedup']:.2f} times faster: {cell}, where a "
        f"step takes the host {best['host_ms_per_step']:.1f} ms and the device "
        f"{best['device_ms_per_step']:.1f} ms."
    )


def _device(row: dict[str, Any]) -> str:
    article = "" if row["measured"] else "a "
    return f"{article}{row['device_name']}"


def _how_measured(done: Rows) -> str:
    kinds = {bool(row["measured"]) for row in done}
    if kinds == {True}:
        return "measured"
    return "measured and modelled cells" if len(kinds) > 1 else "modelled, not measured"


def _tiles(document: dict[str, Any], done: Rows) -> Iterator[Tile]:
    for mode_name, mode_title in MODE_TITLES.items():
        idle_pct = [row["idle_pct"] for row in done if row["mode"] == mode_name]
        if idle_pct:
            idle_range = f"{min(idle_pct):.1f} to {max(idle_pct):.1f} %"
            yield Tile(f"idle, {mode_title}", idle_range, OVER_ALL)
    speedups = [row["speedup"] for row in done if row["speedup"] is not None]
    if speedups:
        gain_range = f"{min(speedups):.2f} to {max(speedups):.2f}"
        yield Tile("times faster", gain_range, OVER_ALL)
    yield _count_tile(document["cells"])


def _count_tile(cell_counts: dict[str, int]) -> Tile:
    missing = [
        f"{cell_counts[state.value]} {state.value}"
        for state in (CellState.REFUSED, CellState.FAILED)
        if cell_counts[state.value]
    ]
    run_text = f"{cell_counts['done']} of {cell_counts['all']}"
    return Tile("cells run", run_text, ", ".join(missing) or "all of them")
