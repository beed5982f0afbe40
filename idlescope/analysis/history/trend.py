"""What the figures of a history come to over many commits: a creep that no single commit shows.

The last commits' level is their median, and so is the best level, of as many commits in a row
before them. Noise is the median distance of neighbouring commits from their median step, as a
standard deviation (0.954 of it, for independent normal errors). A rise counts where it is
more than 10 % (or the limit given), more than three times the noise, and matters (1 % of a step).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
LOADS_DIFFER = (
    0.05  # requests per step: of commits that differ by more, steps are other work
)
SHORT_COMMIT = 12  # characters
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
    other_load: int  # of those: whose steps served other numbers of requests than the last
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
        what = f"{self.subject}: {self.figure.name}"
        left_out = ""
        if self.other_load:
            left_out = f" ({self.other_load} of another load are left out)"
        return f"{what} {_SAYS[self.kind](self)}{left_out}."

    @property
    def added(self) -> float:
        """Return what the commit added that added most."""
        return float(self.values[self.worst_row] - self.values[self.worst_row - 1])

    @property
    def worst_commit(self) -> str:
        """Return that commit, shortened."""
        return self.commits[self.worst_row][:SHORT_COMMIT]


def _too_few(trend: Trend) -> str:
    count = len(trend.commits)
    return f"of {count} commits makes no trend ({FEWEST_COMMITS} are needed)"


def _steady(trend: Trend) -> str:
    level = f"{trend.last:.3g} {trend.figure.unit}"
    return f"is steady over {len(trend.commits)} commits, at {level}"


def _better(trend: Trend) -> str:
    level = f"{trend.last:.3g} {trend.figure.unit}"
    return f"is better than it was: {level}, over {len(trend.commits)} commits"


def _jump(trend: Trend) -> str:
    levels = f"{trend.best:.3g} to {trend.last:.3g} {trend.figure.unit}"
    return f"rose from {levels}, {trend.added:.3g} of that at commit {trend.worst_commit}"


def _creep(trend: Trend) -> str:
    levels = f"{trend.best:.3g} to {trend.last:.3g} {trend.figure.unit}"
    return (
        f"has crept from {levels} over {len(trend.commits)} commits; no single one added more "
        f"than {trend.added:.3g} ({trend.worst_commit}), so comparing each with the one before "
        "does not show it"
    )


_SAYS: Mapping[TrendKind, Callable[[Trend], str]] = {
    TrendKind.TOO_FEW: _too_few,
    TrendKind.STEADY: _steady,
    TrendKind.BETTER: _better,
    TrendKind.JUMP: _jump,
    TrendKind.CREEP: _creep,
}


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


class _Told(NamedTuple):
    """The commits that tell a figure of a subject."""

    of_commits: dict[str, list[float]]
    steps_ms: list[float]
    untold: int
    other_load: int

    @property
    def values(self) -> Float64:
        """Return a figure for each commit: the median of its recordings."""
        medians = [np.median(several) for several in self.of_commits.values()]
        return np.array(medians, np.float64)


class _Levels(NamedTuple):
    """What a trend is judged by."""

    best: float
    usual: float  # of the commits before the last ones
    last: float
    noise: float


def _trend(
    lines: Sequence[Line], subject: str, figure: Figure, allowed_pct: float
) -> Trend:
    told = _told(lines, subject, figure)
    values = told.values
    if values.size < FEWEST_COMMITS:
        last = float(values[-1]) if values.size else 0.0
        levels, kind, worst_row = _Levels(last, last, last, 0.0), TrendKind.TOO_FEW, -1
    else:
        levels = _levels(values)
        worst_row = 1 + int(np.diff(values).argmax())
        step_ms = float(np.median(told.steps_ms))
        matters = MATTERS * (step_ms if figure.unit == "ms" else 100.0)
        kind = _kind(values, levels, allowed_pct, matters)
    return Trend(
        subject=subject,
        figure=figure,
        commits=tuple(told.of_commits),
        values=values,
        untold=told.untold,
        other_load=told.other_load,
        kind=kind,
        best=levels.best,
        last=levels.last,
        noise=levels.noise,
        worst_row=worst_row,
    )


def _told(lines: Sequence[Line], subject: str, figure: Figure) -> _Told:
    told = _Told({}, [], 0, 0)
    newest = lines[-1].points[subject]
    for line in lines:
        point = line.points.get(subject)
        value = figure.value(point) if point is not None and point.told else None
        if point is None or value is None or not np.isfinite(value):
            told = told._replace(untold=told.untold + 1)
            continue
        if _is_of_other_load(point, newest):
            told = told._replace(untold=told.untold + 1, other_load=told.other_load + 1)
            continue
        told.of_commits.setdefault(line.commit, []).append(value)
        told.steps_ms.append(point.step_ms or 0.0)
    return told


def _is_of_other_load(point: Point, newest: Point) -> bool:
    """Return whether steps of a commit are known to have served another number of requests."""
    before, now = point.requests_per_step, newest.requests_per_step
    return before is not None and now is not None and abs(before - now) > LOADS_DIFFER * now


def _levels(values: Float64) -> _Levels:
    """Return the levels of some commits, and their noise."""
    # Levels are medians over neighbouring commits, so that one outlier is no level. Those of the
    # last commits and those before them have none in common.
    length = level_length(values.size)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    medians = np.median(windows, axis=1)
    earlier = medians[: values.size - 2 * length + 1]

    # A steady slope is no noise, and the medians leave single jumps out.
    differences = np.diff(values)
    apart = np.abs(differences - np.median(differences))
    return _Levels(
        best=float(earlier.min()),
        usual=float(np.median(earlier)),
        last=float(medians[-1]),
        noise=float(np.median(apart)) / NEIGHBOURS_PER_SIGMA,
    )


def _kind(
    values: Float64, levels: _Levels, allowed_pct: float, matters: float
) -> TrendKind:
    """Return what some commits did; `matters` is the least change that does."""
    certain = max(NOISES * levels.noise, matters)
    rise = levels.last - levels.best
    if rise > max(allowed_pct / 100 * levels.best, certain):
        added = float(np.diff(values).max())
        at_once = added >= JUMP_SHARE * rise and added > NOISES * levels.noise
        return TrendKind.JUMP if at_once else TrendKind.CREEP
    if levels.usual - levels.last > max(CREEP_PCT / 100 * levels.usual, certain):
        return TrendKind.BETTER
    return TrendKind.STEADY
