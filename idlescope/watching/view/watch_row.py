"""One watch as a row and as a line: what it is called, what most of its idle time is."""

from __future__ import annotations

import math
from typing import NamedTuple

from idlescope.report.tables.terminal import little_bars
from idlescope.report.text import NOTHING, milliseconds
from idlescope.watching.state import HISTORY_S, DeviceState
from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.figures import Figures, idle_share


class Shown(NamedTuple):
    """One watch with device times, and the process that it is of."""

    document: WatchedDocument
    figures: Figures
    state: DeviceState

    @property
    def is_whole(self) -> bool:
        """Return whether its figures are of all the time since the watch began."""
        now = self.document.state
        if now is None:
            return False
        return self.figures.elapsed_ns == now.unix_ns - now.process.started_unix_ns

    @property
    def name(self) -> str:
        """Return what its row is called: the process, and the device where it has several."""
        several = len(self.document.figures) > 1
        return self.subject if several else self.document.label

    @property
    def subject(self) -> str:
        """Return what it is called."""
        return self.document.subject(self.figures)


def main_cause(figures: Figures) -> tuple[str, str] | None:
    """Return the cause that most of idle has, and its share."""
    causes = figures.cause_ns()
    idle_ns = sum(causes.values())
    if not idle_ns:
        return None
    main = max(causes, key=lambda cause: causes[cause])
    return main, f"{100 * causes[main] / idle_ns:.0f} %"


def course(state: DeviceState, width: int) -> str:
    """Return idle of the last two minutes in so many little bars, the newest at the right."""
    if not state.seconds:
        return ""
    newest = state.seconds[-1].unix_s
    by_bar: dict[int, list[float]] = {}
    per_bar = math.ceil(HISTORY_S / width)
    for second in state.seconds:
        part = idle_share(second)
        if part is not None:
            by_bar.setdefault((newest - second.unix_s) // per_bar, []).append(part)
    means = [
        sum(by_bar[bar]) / len(by_bar[bar]) if bar in by_bar else None
        for bar in reversed(range(width))
    ]
    return little_bars(means)


def percent_text(value: float | None) -> str:
    """Return a share, or a dash where it is not known."""
    return NOTHING if value is None else f"{value:.1f} %"


def length_text(time_ns: float | None) -> str:
    """Return a length of time in ns with its unit, or a dash where it is not known."""
    return NOTHING if time_ns is None else milliseconds(time_ns)
