"""What the figures of a history come to over many commits: a creep that no single commit shows.

The last commits' level is their median, and so is the best level, of as many commits in a row
before them. Noise is the median distance of neighbouring commits from their median step, as a
standard deviation (0.954 of it, for independent normal errors). A rise counts where it is
more than 10 % (or the limit given), more than three times the noise, and matters (1 % of a step).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from idlescope.analysis.history.line import Line, Point
from idlescope.trace.table import Float64

LEVEL_COMMITS = 5  # whose median is a level; fewer where a history is short
FEWEST_COMMITS = 4
CREEP_PCT = 10.0
NOISES = 3.0
NEIGHBOURS_PER_SIGMA = 0.954  # median |difference| of two normal values: 0.6745 * sqrt(2)
MATTERS = 0.01  # of a step's time
JUMP_SHARE = 0.5  # of the rise that one commit makes is a jump


class TrendKind(str, Enum):
    """What a figure did."""

    CREEP = "creep"  # many commits made it worse
    JUMP = "jump"  # one commit did
    STEADY = "steady"
    BETTER = "better"
    TOO_FEW = "too few commits"

    def __str__(self) -> str:
        return self.value


class Figure(NamedTuple):
    """A figure that trends are of."""

    name: str
    unit: str
    value: Callable[[Point], float | None]


IDLE_PER_STEP = Figure("idle per step", "ms", lambda point: point.idle_ms_per_step)
TIME_PER_STEP = Figure("time per step", "ms", lambda point: point.step_ms)
IDLE = Figure("idle", "%", lambda point: point.idle_pct)


@dataclass(frozen=True)
class Trend:
    """One figure of one subject, over the commits that tell it."""

    subject: str
    figure: Figure
    commits: tuple[str, ...]  # in their order
    values: Float64
    untold: int  # commits that do not tell it
    kind: TrendKind
    best: float  # levels
    last: float
    noise: float
    worst_row: int  # of the commit that added most; -1: none did

    @property
    def rise_pct(self) -> float:
        """Return how much the last level is above the best one, in per cent of that."""
        return 100.0 * (self.last - self.best) / self.best if self.best else 0.0

    def text(self) -> str:
        """Return what the figure did, in a sentence."""
        unit, count = self.figure.unit, len(self.commits)
        what = f"{self.subject}: {self.figure.name}"
        if self.kind == TrendKind.TOO_FEW:
            return f"{what}: {count} commits are too few for a trend ({FEWEST_COMMITS} are needed)."
        levels = f"{self.best:.3g} to {self.last:.3g} {unit}"
        if self.kind == TrendKind.STEADY:
            return f"{what} is steady over {count} commits, at {self.last:.3g} {unit}."
        if self.kind == TrendKind.BETTER:
            return f"{what} is better than it was: {self.last:.3g} {unit}, over {count} commits."
        added = self.values[self.worst_row] - self.values[self.worst_row - 1]
        commit = self.commits[self.worst_row][:12]
        if self.kind == TrendKind.JUMP:
            return f"{what} rose from {levels}, {added:.3g} of that at commit {commit}."
        return (
            f"{what} has crept from {levels} over {count} commits; no single one added more than "
            f"{added:.3g} ({commit}), so comparing each with the one before does not show it."
        )


def trends(lines: Sequence[Line], allowed_pct: float = CREEP_PCT) -> list[Trend]:
    """Return the trends of every subject that the last line has."""
    if not lines:
        return []
    found = []
    for subject, newest in lines[-1].points.items():
        per_step = newest.idle_ms_per_step is not None
        for figure in (IDLE_PER_STEP, TIME_PER_STEP) if per_step else (IDLE,):
            found.append(_trend(lines, subject, figure, allowed_pct))
    return found


def level_length(commits: int) -> int:
    """Return of how many commits a level is the median."""
    return max(1, min(LEVEL_COMMITS, commits // 2))


def _trend(
    lines: Sequence[Line], subject: str, figure: Figure, allowed_pct: float
) -> Trend:
    of_commits: dict[str, list[float]] = {}
    untold = 0
    steps_ms: list[float] = []
    for line in lines:
        point = line.points.get(subject)
        value = None if point is None or not point.told else figure.value(point)
        if point is None or value is None or not np.isfinite(value):
            untold += 1
            continue
        of_commits.setdefault(line.commit, []).append(value)
        steps_ms.append(point.step_ms or 0.0)
    values = np.array([np.median(several) for several in of_commits.values()], np.float64)
    return _judged(
        subject, figure, tuple(of_commits), values, untold, steps_ms, allowed_pct
    )


def _judged(
    subject: str,
    figure: Figure,
    commits: tuple[str, ...],
    values: Float64,
    untold: int,
    steps_ms: Sequence[float],
    allowed_pct: float,
) -> Trend:
    if values.size < FEWEST_COMMITS:
        last = float(values[-1]) if values.size else 0.0
        kind = TrendKind.TOO_FEW
        return Trend(subject, figure, commits, values, untold, kind, last, last, 0.0, -1)

    # Levels are medians over neighbouring commits, so that one outlier is no level.
    length = level_length(values.size)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    levels = np.median(windows, axis=1)
    last, earlier = float(levels[-1]), levels[: values.size - 2 * length + 1]
    best = float(earlier.min())

    # A steady slope is no noise, and the medians leave single jumps out.
    differences = np.diff(values)
    apart = np.abs(differences - np.median(differences))
    noise = float(np.median(apart)) / NEIGHBOURS_PER_SIGMA
    rise = last - best
    matters = MATTERS * (float(np.median(steps_ms)) if figure.unit == "ms" else 100.0)
    kind = TrendKind.STEADY
    if rise > max(allowed_pct / 100 * best, NOISES * noise, matters):
        kind = TrendKind.CREEP
    usual = float(np.median(earlier))
    if usual - last > max(CREEP_PCT / 100 * usual, NOISES * noise, matters):
        kind = TrendKind.BETTER
    worst_row = 1 + int(differences.argmax())
    added = float(differences.max())
    if kind == TrendKind.CREEP and added >= JUMP_SHARE * rise and added > NOISES * noise:
        kind = TrendKind.JUMP
    return Trend(
        subject, figure, commits, values, untold, kind, best, last, noise, worst_row
    )
