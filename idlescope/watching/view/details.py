"""Why one watch idles, how that went on, and what would help."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from idlescope.palette import CAUSE
from idlescope.report.tables.terminal import INDENT, Rows, empty_table, plain, side_by_side
from idlescope.report.text import NOTHING, milliseconds, share, shorten
from idlescope.watching.state import HISTORY_S, AsynchronousGain, DeviceState
from idlescope.watching.view.figures import Figures, idle_share
from idlescope.watching.view.watch_row import Shown, course, length_text

LABEL_WIDTH = 28
COURSE_WIDTH = 60  # two seconds a bar
MOST_PHASES = 4
MOST_GAPS = 5


def details(shown: Shown) -> Iterator[RenderableType]:
    """Yield what is shown of one watch, a part each."""
    figures, state = shown.figures, shown.state
    yield ""
    yield plain(whose(shown), "dim")
    yield ""
    if figures.demanded_idle_ns:
        yield side_by_side("", ("of idle", "per step"), cause_rows(figures))
        yield ""
    bars = course(state, COURSE_WIDTH)
    shares = [part for part in map(idle_share, state.seconds) if part is not None]
    if shares:
        highest = f"{100 * max(shares):.0f} %"
        yield plain(f"idle, last {HISTORY_S} s, highest {highest}:", "dim")
        yield plain(bars, CAUSE["host"])
        yield ""
    for line in _sentences(shown):
        yield plain(line)
    if state.gaps:
        yield ""
        yield _gaps(state)


def whose(shown: Shown) -> str:
    """Return in words which engine and device it is."""
    state, document = shown.state, shown.document
    version = document.state.process.version if document.state else ""
    engine = f"{state.engine} {version}".rstrip()
    device = ""
    if state.device >= 0:
        device = f" on device {state.device} {state.name}".rstrip()
    return f"{document.label}: {engine}{device}, watched by {state.way}"


def cause_rows(figures: Figures) -> Rows:
    """Return rows of idle by cause, the host's part by phase."""
    idle_ns = figures.demanded_idle_ns
    rows: Rows = []
    for cause, cause_ns in figures.cause_ns().items():
        if not cause_ns:
            continue
        rows.append((cause, _part_cells(cause_ns, idle_ns, figures.steps)))
        if cause == "host":
            phases = sorted(figures.host_ns.items(), key=lambda item: -item[1])
            rows += [
                (
                    f"{INDENT}{shorten(phase, LABEL_WIDTH)}",
                    _part_cells(phase_ns, idle_ns, figures.steps),
                )
                for phase, phase_ns in phases[:MOST_PHASES]
                if phase_ns
            ]
    return rows


def _part_cells(part_ns: int, idle_ns: int, steps: int) -> list[str]:
    return [share(part_ns, idle_ns), length_text(part_ns / steps if steps else None)]


def _sentences(shown: Shown) -> Iterator[str]:
    """Yield what else is known of a watch, a line each."""
    figures, state = shown.figures, shown.state
    batching = f"batching: {state.batching}"
    if figures.launched_early_pct is not None:
        batching += f", {figures.launched_early_pct:.1f} % of the steps launched early"
    yield batching
    if state.asynchronous is not None:
        yield _gain_text(state.asynchronous)
    # of the time that is accounted for, which is up to some seconds ago
    seconds = (figures.watched_ns or figures.elapsed_ns) / 1e9
    if seconds > 0:
        running = ""
        if state.requests_running is not None:
            running = f"{state.requests_running} requests, "
        tokens = f", {figures.tokens / seconds:,.0f} tokens/s" if figures.tokens else ""
        yield f"load: {running}{figures.steps / seconds:,.1f} steps/s{tokens}"
    if figures.launch_latency_ns is not None:
        yield f"launch latency, mean: {milliseconds(figures.launch_latency_ns)}"
    if figures.communication_pct:
        yield f"communication: {figures.communication_pct:.1f} % of the time"
    if figures.overhead_pct is not None:
        yield f"the watch itself: {figures.overhead_pct:.2f} % of a thread"
    if figures.own_idle_per_step_ns and figures.idle_without_watch_pct is not None:
        yield (
            f"idle without the watch: {figures.idle_without_watch_pct:.1f} %; CUPTI's part of "
            f"launching is {milliseconds(figures.own_idle_per_step_ns)} of each step's"
        )


def _gain_text(gain: AsynchronousGain) -> str:
    """Return what asynchronous batching would give, and when that was found: contexts grow."""
    within = ""
    if gain.high_step_ns:
        low, high = gain.low_step_ns / 1e6, gain.high_step_ns / 1e6
        within = f" ({low:.2f} to {high:.2f})"
    return (
        f"asynchronous batching would make a step {milliseconds(gain.predicted_step_ns)}{within} "
        f"instead of {milliseconds(gain.step_ns)}, {gain.saved_pct:.1f} % less (of the "
        f"{gain.steps} steps before {_clock(gain.unix_ns)})"
    )


def _gaps(state: DeviceState) -> Table:
    """Return the last long gaps, the newest first."""
    rows = empty_table("")
    rows.add_column("long gaps at")
    rows.add_column("length", justify="right")
    rows.add_column("before step", justify="right")
    rows.add_column("cause")
    for gap in list(reversed(state.gaps))[:MOST_GAPS]:
        phase = f": {shorten(gap.phase, LABEL_WIDTH)}" if gap.phase else ""
        step = f"{gap.step:,}" if gap.step >= 0 else NOTHING
        cells = (
            _clock(gap.unix_ns),
            milliseconds(gap.length_ns),
            step,
            f"{gap.cause}{phase}",
        )
        rows.add_row(*map(plain, cells))
    return rows


def _clock(unix_ns: int) -> str:
    """Return the time of day here; a dash for a time that no calendar has."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(unix_ns / 1e9))
    except (OverflowError, OSError, ValueError):
        return NOTHING
