"""The report as one self-contained HTML page, which asks for nothing and runs no script but its own.

Text from a trace is escaped by the template; a content security policy with the hashes of the page's script and style
forbids whatever else there could be.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from idlescope import __version__
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.intervals import percent
from idlescope.export.perfetto import excerpt
from idlescope.palette import CAUSE, OPERATION, PHASE
from idlescope.report.figures.figures import Shown
from idlescope.report.page import timeline
from idlescope.report.tables.terminal import gap_cells, share
from idlescope.report.text import encodable, milliseconds, visible
from idlescope.trace.names.engines import Phases
from idlescope.trace.names.own_engine import ENGINE_PHASES

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
WAITING = "retrieve, waiting"  # calls that wait for the device have the colour of retrieve
STEP_COLUMNS = [
    ("number", "step"), ("host", "host work"), ("device", "device work"), ("idle", "idle exposed"),
    ("operations", "operations"), ("early", "launched before the previous ended"),
]  # fmt: skip


class Line(NamedTuple):
    """One line of work on the page: a mode of a run or a device of a trace, and what its span names mean."""

    shown: Shown
    phases: Phases


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
    lines: Sequence[Line]
    warnings: Sequence[str]
    command: str
    environment: dict[str, str]
    predictions: Sequence[str] = ()  # sentences
    files: Sequence[str] = ()  # beside the page
    open_with: Sequence[tuple[str, str]] = field(default_factory=tuple)  # what for, and the command
    latencies: bool = False  # the main table has latency figures, to be explained


def write(page: Page, path: Path) -> None:
    """Render the page into a file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("idlescope.report.page"), autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates = files("idlescope.report.page") / "templates"
    style, script = ((templates / name).read_text("utf-8") for name in ("report.css", "report.js"))
    packed = timeline.pack(
        [(shown.title, shown.trace, shown.result, phases) for shown, phases in page.lines]
    )
    text = environment.get_template("report.html.j2").render(
        page=page,
        version=__version__,
        policy=_policy(style, script),
        style=style,
        script=script,
        images={name: _image(name, page.figures.get(name)) for name in CAPTIONS},
        timeline=packed if page.lines else None,
        document=_json(
            packed.document | {"causes": {colour: cause for cause, colour in CAUSE.items()}}
        ),
        cut=[_cut(item) for item in packed.document["items"] if item["left_out"]],
        keys=_keys(packed),
        steps=STEP_COLUMNS if any(len(line.shown.result.steps) for line in page.lines) else None,
        perfetto=_perfetto(page),
        causes=[_causes(line) for line in page.lines],
        host=[_host(line) for line in page.lines],
        gaps=[_longest(line) for line in page.lines],
        rooflines=_rooflines(page),
        coverage=_coverage(page),
    )
    path.write_text(encodable(text), encoding="utf-8")


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(document: dict[str, Any]) -> str:
    """Return JSON that may stand within a script element, whatever the texts in it are."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _image(name: str, svg: Path | None) -> dict[str, str] | None:
    if svg is None:
        return None
    data = base64.b64encode(svg.read_bytes()).decode()
    return {"uri": f"data:image/svg+xml;base64,{data}", "caption": CAPTIONS[name]}


def _perfetto(page: Page) -> str:
    """Return the trace about the worst gap of the line that idles most, as base64."""
    if not page.lines:
        return ""
    worst = max((line.shown for line in page.lines), key=lambda shown: shown.result.idle_pct)
    return base64.b64encode(excerpt.packed(worst.trace, worst.result).data).decode()


def _cut(item: dict[str, Any]) -> str:
    return (
        f"{item['title']}: the timeline shows the stretch about the longest gap; {item['left_out']:,} intervals before "
        "and after it are left out, and count in every figure."
    )


def _keys(packed: timeline.Packed) -> list[tuple[str, str]]:
    """Return what the colours of the timeline stand for, those that are in it."""
    colours: dict[str, set[str]] = {}
    for item in packed.document["items"]:
        for lane in item["lanes"]:
            colours.setdefault(lane["label"], set()).update(lane["colours"])
    host = {
        WAITING if phase == "retrieve" else phase: PHASE[phase]
        for phase in (*ENGINE_PHASES, "other")
    }
    groups = [("host", host), ("gaps", CAUSE)]
    keys = [
        (f"{lane}: {of}", colour)
        for lane, key in groups
        for of, colour in key.items()
        if colour in colours.get(lane, ())
    ]
    return keys + [(lane, OPERATION[lane]) for lane in colours if lane in OPERATION]


def _causes(line: Line) -> dict[str, Any]:
    result = line.shown.result
    idle, totals, parts, left = result.occupancy.idle_ns, result.gaps.totals(), [], 0.0
    for cause in CAUSES:
        width = percent(totals[cause], idle)
        parts.append({
            "cause": cause, "ns": milliseconds(totals[cause]), "pct": width, "left": left, "colour": CAUSE[cause]
        })  # fmt: skip
        left += width
    text = f"{milliseconds(idle)} idle, {result.idle_pct:.2f} % of the window"
    return {"label": line.shown.title, "idle": text, "parts": parts}


def _host(line: Line) -> dict[str, Any]:
    host_ns, total = line.shown.result.host_ns, line.shown.result.gaps.totals()["host"]
    top = list(host_ns.items())[:HOST_ROWS]
    rows = [(name, [milliseconds(ns), share(ns, total)]) for name, ns in top]
    if rest := total - sum(ns for _, ns in top):
        rows.append((f"{len(host_ns) - len(top)} others", [milliseconds(rest), share(rest, total)]))
    return {"label": line.shown.title, "rows": rows}


def _longest(line: Line) -> dict[str, Any]:
    result = line.shown.result
    return {
        "label": line.shown.title,
        "rows": [gap_cells(result, gap, WHOLE_STACK) for gap in result.longest],
    }


def _rooflines(page: Page) -> dict[str, Any] | None:
    found = [(line.shown.title, line.shown.result.roofline) for line in page.lines]
    known = [(title, roofline) for title, roofline in found if roofline is not None]
    if not known:
        return None
    rows = [
        (label, [f"{getattr(roofline, name):.1f} %" for _, roofline in known])
        for label, name in (
            ("active", "active_pct"), ("roofline, of the time of steps", "roofline_pct"),
            ("roofline, while active", "active_roofline_pct"), ("bandwidth used", "bandwidth_pct"),
            ("compute used", "compute_pct"),
        )
    ]  # fmt: skip
    return {
        "columns": [title for title, _ in known], "rows": rows,
        "sentences": [f"{title}: {roofline.text()}" for title, roofline in known],
    }  # fmt: skip


def _coverage(page: Page) -> dict[str, Any] | None:
    if not page.lines:
        return None
    found = [line.shown.result.coverage.to_json() for line in page.lines]

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.2f}"
        return ", ".join(map(str, value)) or "–" if isinstance(value, (list, tuple)) else str(value)

    rows = [
        (name.replace("_pct", ", %").replace("_", " "), [cell(one[name]) for one in found])
        for name in found[0]
    ]
    return {"columns": [line.shown.title for line in page.lines], "rows": rows}
