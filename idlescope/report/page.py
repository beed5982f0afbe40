"""The report as one self-contained HTML page: no script, no request; text from a trace is escaped by the template."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from idlescope import __version__
from idlescope.analysis.causes import CAUSES
from idlescope.analysis.intervals import percent
from idlescope.palette import CAUSE
from idlescope.report.figures import Shown
from idlescope.report.terminal import gap_cells, share
from idlescope.report.text import milliseconds, visible

WHOLE_STACK = 40  # names of a gap's stack, innermost
HOST_ROWS = 12
CAPTIONS = {
    "timeline": "When the CPU and the GPU were busy, in the middle of the run. White between GPU bars is "
    "idle time; gaps narrower than a pixel are not drawn.",
    "causes": "Idle time by cause, as a share of the window. The parts add up to all idle time.",
    "idle": "Idle time in equal parts of the run.",
    "gaps": "How many gaps there are of each length (above), and how much idle time they hold (below).",
    "cost": "Compute idle time over host work a step: the recorded steps replayed with more and less host work, and "
    "measured points. Filled: synchronous; hollow: asynchronous. Points of other device times lie off the curves. The "
    "first step, in which the pipeline fills, is left out, as in predictions; not in other engines' points.",
}


@dataclass(frozen=True)
class Page:
    """What the page says; the template arranges it."""

    title: str
    verdict: str
    measured: str  # says whether the figures are measured or modelled
    headline: list[tuple[str, str]]  # the two or three figures that matter: value, label
    columns: list[str]
    rows: list[tuple[str, list[str]]]  # the main table
    figures: dict[str, Path]  # name -> SVG
    shown: Sequence[Shown]
    warnings: Sequence[str]
    command: str
    environment: dict[str, str]
    files: Sequence[str] = field(default_factory=tuple)
    latencies: bool = False  # the main table has latency figures, to be explained


def write(page: Page, path: Path) -> None:
    """Render the page into a file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("idlescope.report"), autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template("report.html.j2").render(
        page=page,
        version=__version__,
        images=[(name, CAPTIONS[name], _data_uri(svg)) for name, svg in page.figures.items()],
        causes=[_causes(item) for item in page.shown],
        host=[_host(item) for item in page.shown],
        gaps=[_longest(item) for item in page.shown],
        coverage=[(item.label, item.result.coverage.to_json()) for item in page.shown],
    )
    path.write_text(text, encoding="utf-8")


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()


def _causes(item: Shown) -> dict[str, Any]:
    idle, totals = item.result.occupancy.idle_ns, item.result.gaps.totals()
    return {
        "label": item.label,
        "idle": f"{milliseconds(idle)} idle, {item.result.idle_pct:.2f} % of the window",
        "parts": [
            {"cause": c, "ns": milliseconds(totals[c]), "pct": percent(totals[c], idle), "color": CAUSE[c]}
            for c in CAUSES
        ],
    }  # fmt: skip


def _host(item: Shown) -> dict[str, Any]:
    host_ns, total = item.result.host_ns, item.result.gaps.totals()["host"]
    top = list(host_ns.items())[:HOST_ROWS]
    rows = [(name, milliseconds(ns), share(ns, total)) for name, ns in top]
    if rest := total - sum(ns for _, ns in top):
        rows.append((f"{len(host_ns) - len(top)} others", milliseconds(rest), share(rest, total)))
    return {"label": item.label, "rows": rows}


def _longest(item: Shown) -> dict[str, Any]:
    rows = [gap_cells(item.result, gap, WHOLE_STACK) for gap in item.result.longest]
    return {"label": item.label, "rows": rows}
