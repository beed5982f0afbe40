"""What `idlescope watch` shows: a sentence, a row for each watch, and why the idlest one idles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from idlescope.analysis.verdict.verdict import READINGS
from idlescope.report.tables.terminal import empty_table, plain
from idlescope.report.text import NOTHING, milliseconds, shorten
from idlescope.watching.shown import ASYNCHRONOUS_NOTE
from idlescope.watching.state import NO_DEMAND
from idlescope.watching.view.details import details
from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.members import Span
from idlescope.watching.view.watch_row import (
    Shown,
    course,
    length_text,
    main_cause,
    percent_text,
)

NAME_WIDTH = 28
BARS_WIDTH = 12  # of a row: ten seconds a bar
MOST_ROWS = 32  # of watches
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def screen(documents: Sequence[WatchedDocument], span: Span, notes: Sequence[str]) -> Group:
    """Return everything that is shown."""
    watches = [shown for document in documents for shown in _watches(document)]
    idlest = _idlest(watches)
    parts: list[RenderableType] = [plain(headline(documents, idlest, span), "bold"), ""]
    parts.append(_rows(documents))
    if watches:
        parts += details(idlest or watches[0])
    lines = [*_ended(documents), *_notes(watches, idlest)]
    for document in documents:
        lines += _said_by_server(document)
    if lines or notes:
        parts.append("")
    parts += [plain(line, "dim") for line in (*lines, *notes)]
    return Group(*parts)


def _idlest(watches: Sequence[Shown]) -> Shown | None:
    """Return the watch that idles most, of those that still answer if there are any."""
    told = [shown for shown in watches if shown.figures.idle_pct is not None]
    alive = [shown for shown in told if not shown.document.gone]
    return max(alive or told, key=lambda shown: shown.figures.idle_pct or 0.0, default=None)


def headline(documents: Sequence[WatchedDocument], idlest: Shown | None, span: Span) -> str:
    """Return in a sentence how idle the idlest device is, and why."""
    if idlest is None:
        return _untold(documents)
    figures = idlest.figures
    per_step = ""
    if figures.idle_per_step_ns is not None:
        per_step = f", {milliseconds(figures.idle_per_step_ns)} per step"
    watches = sum(len(document.figures) for document in documents)
    which = "The device" if watches == 1 else f"The idlest of {watches}, {idlest.subject},"
    main = main_cause(figures)
    cause = f", {main[1]} of that because {READINGS[main[0]][1]}" if main else ""
    lasted = _time(idlest, span)
    if figures.no_demand_pct:
        lasted = (
            f"the time with requests ({100.0 - figures.no_demand_pct:.1f} % of {lasted})"
        )
    return f"{which} was idle for {figures.idle_pct:.2f} % of {lasted}{per_step}{cause}."


def _untold(documents: Sequence[WatchedDocument]) -> str:
    """Return what to say where no device was timed."""
    if documents and all(document.gone for document in documents):
        return "Nothing that was watched answers any more."
    no_demand = any(
        figures.idle_ns and figures.idle_ns.get(NO_DEMAND)
        for document in documents
        for figures in document.figures
    )
    if no_demand:
        return "No request came, so idle cannot be told."
    return "Cannot tell how idle the device is."


def _time(shown: Shown, span: Span) -> str:
    """Return of which time figures are."""
    lasted = time_text(shown.figures.elapsed_ns / 1e9)
    if shown.is_whole:
        return f"the {lasted} since the watch began"
    return f"the last {lasted}" if span is Span.LATELY else f"the {lasted} watched"


def time_text(seconds: float) -> str:
    """Return a length of time with the two largest units that it has."""
    left = max(round(seconds), 0)
    parts = []
    for unit_seconds, unit in UNITS:
        count, left = divmod(left, unit_seconds)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _rows(documents: Sequence[WatchedDocument]) -> Table:
    """Return a row for each watch and server."""
    rows = empty_table("")
    rows.add_column("process")
    for column in ("idle", "per step", "step"):
        rows.add_column(column, justify="right", no_wrap=True)
    rows.add_column("mostly", no_wrap=True)
    rows.add_column("idle, 2 min", no_wrap=True)
    lines = [line for document in documents for line in _lines(document)]
    for cells, style in lines[:MOST_ROWS]:
        rows.add_row(*(plain(cell, style) for cell in cells))
    if len(lines) > MOST_ROWS:
        rows.add_row(plain(f"and {len(lines) - MOST_ROWS} more (--json)", "dim"))
    return rows


def _lines(document: WatchedDocument) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of a process's rows, and how they are painted."""
    told = document.exported
    style = "dim" if document.gone else ""
    if told is not None:
        step = NOTHING if told.step_ms is None else milliseconds(told.step_ms * 1e6)
        name = shorten(document.label, NAME_WIDTH)
        yield [name, NOTHING, NOTHING, step, document.gone or NOTHING, ""], style
    elif not document.figures:
        name = shorten(document.label, NAME_WIDTH)
        yield [name, NOTHING, NOTHING, NOTHING, "", ""], style
    for shown in _watches(document):
        figures = shown.figures
        main = main_cause(figures)
        mostly = f"{main[0]} {main[1]}" if main else NOTHING
        yield (
            [
                shorten(shown.name, NAME_WIDTH),
                percent_text(figures.idle_pct),
                length_text(figures.idle_per_step_ns),
                length_text(figures.step_ns),
                "ended" if document.gone else mostly,
                course(shown.state, BARS_WIDTH),
            ],
            style,
        )


def _ended(documents: Sequence[WatchedDocument]) -> list[str]:
    return [f"{document.label}: {document.gone}" for document in documents if document.gone]


def _notes(watches: Sequence[Shown], idlest: Shown | None) -> list[str]:
    """Return what cannot be told, once each, and of whom.

    What asynchronous batching would give is only shown of the idlest watch, and so is why not.
    """
    by_note: dict[str, list[str]] = {}
    for shown in watches:
        for note in shown.state.notes:
            if shown is idlest or not note.startswith(ASYNCHRONOUS_NOTE):
                by_note.setdefault(note, []).append(shown.name)
    lines = []
    for note, names in by_note.items():
        whose = "all: " if len(names) == len(watches) else f"{', '.join(names)}: "
        lines.append(f"{whose if len(watches) > 1 else ''}{note}")
    return lines


def _said_by_server(document: WatchedDocument) -> list[str]:
    """Return what a server exports of itself, and what that cannot tell."""
    told = document.exported
    if told is None:
        return []
    figures = []
    if told.requests_running is not None:
        figures.append(f"{told.requests_running:g} requests running")
    if told.requests_waiting is not None:
        figures.append(f"{told.requests_waiting:g} waiting")
    if told.tokens_per_s is not None:
        figures.append(f"{told.tokens_per_s:,.0f} tokens/s")
    if told.forward_pct is not None:
        figures.append(f"forward passes fill {told.forward_pct:.1f} % of the time")
    if told.no_work_pct is not None:
        figures.append(f"no request for {told.no_work_pct:.1f} % of it")
    lines = [f"{document.label}: {', '.join(figures)}"] if figures else []
    if told.step_by:
        lines.append(f"time of a step: {told.step_by}")
    return lines + told.notes


def _watches(document: WatchedDocument) -> list[Shown]:
    if document.state is None:
        return []
    pairs = zip(document.figures, document.state.devices, strict=True)
    return [Shown(document, figures, state) for figures, state in pairs]
