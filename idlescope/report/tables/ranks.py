"""The ranks of a job: one row each, and what is said of all of them."""

from __future__ import annotations

from rich.table import Table

from idlescope.analysis.ranks.clocks import Clock
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.verdict import judge
from idlescope.analysis.ranks.wording import between, names, sentence
from idlescope.report.tables.terminal import Rows, side_by_side
from idlescope.report.text import NOTHING, milliseconds

# Communication is what nothing covers, waiting the part of it that is for other ranks.
SHORT = 0.9  # of the longest recording: what is shorter was cut, or began late
COLUMNS = ("idle", "commun.", "waiting", "compute", "step", "batching", "last")


def ranks_table(group: Group) -> Table:
    """Return a table with a row for each rank."""
    parallel = f", {group.parallel}" if group.parallel else ""
    title = f"{len(group.ranks)} ranks{parallel}, % of the time (communication: exposed)"
    return side_by_side(title, COLUMNS, ranks_rows(group))


def ranks_rows(group: Group) -> Rows:
    """Return the figures of each rank under COLUMNS."""
    return [(rank.label, _cells(group, index)) for index, rank in enumerate(group.ranks)]


def _cells(group: Group, index: int) -> list[str]:
    rank, part = group.ranks[index], group.waiting[index]
    told = part.waiting_ns + part.transfer_ns > 0
    communicates = rank.communication_ns > 0
    step_ns = rank.step_ns
    last = int(group.lateness.steps_last[index])
    return [
        f"{rank.idle_pct:.2f}",
        f"{rank.exposed_pct:.2f}" if communicates else NOTHING,
        f"{group.waiting_pct[index]:.2f}" if told else NOTHING,
        f"{rank.useful_pct:.2f}",
        NOTHING if step_ns is None else milliseconds(step_ns),
        str(rank.batching),
        f"{last:,}/{rank.steps:,}" if last else NOTHING,
    ]


def verdict_lines(group: Group) -> list[str]:
    """Return what is said of all ranks: the verdict, what is not seen, how their clocks agree."""
    return [judge(group).text, *_short_lines(group), *_clock_lines(group)]


def _short_lines(group: Group) -> list[str]:
    """Return which ranks were recorded for much less time than others."""
    longest_ns = max(rank.window_ns for rank in group.ranks)
    short = [rank for rank in group.ranks if rank.window_ns < SHORT * longest_ns]
    if not short:
        return []
    shares = [100 * rank.window_ns / longest_ns for rank in short]
    who = sentence(names([rank.label for rank in short]))
    verb = "was" if len(short) == 1 else "were"
    return [
        f"{who} {verb} recorded for {between(shares)} % of the time of the longest recording: who "
        f"waited for {'it' if len(short) == 1 else 'them'} in the rest cannot be seen."
    ]


def _gaining(moved: list[Clock]) -> str:
    """Return how much the clocks gain on each other, where they do."""
    most = max(abs(clock.drift) for clock in moved)
    return f", and gain up to {1e6 * most:.0f} µs per s on it" if most else ""


def _clock_lines(group: Group) -> list[str]:
    """Return how clocks that disagree were brought together."""
    moved = [clock for clock in group.clocks if clock.known and clock.ahead_ns]
    lines = []
    if moved:
        most = max(moved, key=lambda clock: abs(clock.ahead_ns))
        error_ns = max(clock.error_ns for clock in moved)
        lines.append(
            f"The clocks of {len(moved)} ranks disagree with the first's by up to "
            f"{milliseconds(abs(most.ahead_ns))}{_gaining(moved)}; they were brought together "
            f"by the ends of collectives, ± {milliseconds(error_ns)}, which is the error of each "
            "call's waiting."
        )
    if not all(clock.known for clock in group.clocks):
        lines.append(
            "The clocks of some ranks cannot be brought together: the shortest call of each "
            "collective is taken as its transfer, and nothing is said of causes."
        )
    return lines
