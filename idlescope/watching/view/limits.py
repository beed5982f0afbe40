"""Hold what was watched to limits, as `idlescope check` holds a trace to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from idlescope.analysis.comparison.checks import Check
from idlescope.analysis.comparison.limits import Limits
from idlescope.capture.server.exported import UNTOLD, Exported
from idlescope.watching.state import DeviceState
from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.figures import Figures


class _Held(NamedTuple):
    """A limit, and the figure that is held to it."""

    limit: str  # as in Limits
    figure: str  # what it is called
    value: float | None
    unit: str


def examine(documents: Sequence[WatchedDocument], limits: Limits) -> list[Check]:
    """Return a check of each limit that is given, of each watch; what cannot be told is broken."""
    return [check for document in documents for check in _of_document(document, limits)]


def _of_document(document: WatchedDocument, limits: Limits) -> Iterator[Check]:
    """Yield the checks of one process or server."""
    if not document.figures:
        why = document.gone or "its watch has not begun"
        if document.exported is not None:
            why = _why_untold(document.exported)
        for held in _held(None):
            yield from _check(held, document.label, limits, why)
    states = document.state.devices if document.state else []
    for figures, state in zip(document.figures, states, strict=True):
        subject = document.subject(figures)
        why = _why_unknown(figures, state, document.gone)
        for held in _held(figures):
            yield from _check(held, subject, limits, why)


def _held(figures: Figures | None) -> tuple[_Held, ...]:
    """Return what is held to limits: idle while there were requests."""
    idle_pct = per_step_ms = None
    if figures is not None:
        idle_pct = figures.idle_pct
        if figures.idle_per_step_ns is not None:
            per_step_ms = figures.idle_per_step_ns / 1e6
    return (
        _Held("max_idle", "idle", idle_pct, "%"),
        _Held("max_idle_ms_per_step", "idle per step", per_step_ms, "ms"),
    )


def _check(held: _Held, subject: str, limits: Limits, why: str) -> Iterator[Check]:
    """Yield the check, if there is that limit; `why` says what is in the way of the figure."""
    allowed = getattr(limits, held.limit)
    if allowed is None:
        return
    allowed_text = f"{allowed:g} {held.unit}"
    if held.value is None or why:
        says = f"{subject}: {held.figure} cannot be told: {why or 'no step has ended'}"
        yield Check(held.limit, subject, False, says, allowed=allowed_text)
        return
    holds = held.value <= allowed
    than = "within" if holds else "more than"
    says = (
        f"{subject}: {held.figure} is {held.value:.6g} {held.unit}, {than} the {allowed_text} "
        "allowed"
    )
    found = f"{held.value:.3g} {held.unit}"
    yield Check(held.limit, subject, holds, says, False, found, allowed_text)


def _why_unknown(figures: Figures, state: DeviceState, gone: str) -> str:
    """Return what is in the way of the figures of a watch; "" where nothing is."""
    if state.off:
        return f"the watch is off: {state.off}"
    if figures.idle_ns is None:
        return next(iter(state.notes), "no device is timed")
    if not figures.watched_ns:
        return gone or "no time was accounted for"
    return "" if figures.idle_pct is not None else "there was no request"


def _why_untold(told: Exported) -> str:
    filled = ""
    if told.forward_pct is not None:
        filled = f"forward passes fill {told.forward_pct:.1f} % of the time; "
    return f"{filled}{told.notes[-1].removeprefix(UNTOLD)}"
