"""What changed between two sides, of one recording or several each.

The time per step divides into device compute, copies alone and idle by cause, `host` further by
what the host did; so does its change, and the parts add up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from idlescope.analysis.comparison.breakdown import IDLE_PREFIX, Breakdown
from idlescope.analysis.comparison.cautions import cautions, steps_differ
from idlescope.analysis.comparison.change import (
    TIME_PER_TOKEN,
    Change,
    Changes,
    Comparison,
    Side,
)
from idlescope.analysis.comparison.columns import ACTIVE, HOST_IDLE, IDLE, Layout, layout
from idlescope.analysis.comparison.judgement import judge
from idlescope.analysis.comparison.margins import ROUNDING, Values, margins_of
from idlescope.analysis.comparison.read import Source, read
from idlescope.analysis.comparison.unit import Unit
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.window import FIRST_LAST
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.model import Trace

MATERIAL = 0.001  # of the time per step: a smaller change is none, however certain it is
REST = "rest: medians do not add up"


def compare(
    base: Source | Sequence[Source],
    other: Source | Sequence[Source],
    *,
    per: str | None = None,
    mode: str | None = None,
    window: str = FIRST_LAST,
) -> Comparison:
    """Return what changed from one side to another.

    A side is one recording, or several of the same configuration. A recording is a Trace, an
    Analysis, or a path: of anything that `open` reads, of a folder of `idlescope run` (`mode` names
    which of its recordings, where it has two), or of an `analysis.json`. Times are `per` "step",
    "token" or "window" (in per cent), by default the first that all recordings tell; per token,
    where their steps give out different numbers. Raises TraceError and ConfigError.
    """
    before = tuple(read(source, mode=mode, window=window) for source in _several(base))
    after = tuple(read(source, mode=mode, window=window) for source in _several(other))
    return of_sides(Side("A", before), Side("B", after), per)


def _several(sources: Source | Sequence[Source]) -> Sequence[Source]:
    one = isinstance(sources, (str, Path, Trace, Analysis, Breakdown))
    return [sources] if one else sources  # type: ignore[list-item, return-value]


def of_sides(base: Side, other: Side, per: str | None = None) -> Comparison:
    """Return what changed between two sides.

    Raises ConfigError where a side is empty or `per` is not known, TraceError where a recording
    spans no time.
    """
    recordings = (*base.recordings, *other.recordings)
    if not base.recordings or not other.recordings:
        raise ConfigError("a side of the comparison has no recording: give one at least")
    for recording in recordings:
        if not recording.window.any():
            raise TraceError(
                f"{recording.path} spans no time, so there is nothing to compare: record some steps"
            )
    unit = _unit(base, other, per)
    columns = layout(recordings, unit)
    values = Values(_values(base, columns), _values(other, columns))
    margins, source = margins_of(base, other, columns, values)
    before, after = (np.median(side, axis=0) for side in values)
    material = MATERIAL * float(before[0])
    figures = []
    rows = zip(_names(columns), before.tolist(), after.tolist(), margins, strict=True)
    for name, base_value, other_value, margin in rows:
        change = abs(other_value - base_value)
        different = margin is not None and change > margin and change >= material
        figures.append(Change(name, base_value, other_value, margin, different))
    changes = _arranged(base, other, columns, figures)
    return Comparison(
        **{name: getattr(changes, name) for name in Changes.__dataclass_fields__},
        noise=source,
        warnings=cautions(base, other, unit),
        verdict=judge(changes, material),
    )


def _values(
    side: Side, columns: Layout
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([columns.values(recording) for recording in side.recordings])


def _names(columns: Layout) -> list[str]:
    return [
        f"time per {columns.unit}",
        ACTIVE,
        IDLE,
        HOST_IDLE,
        *columns.parts,
        *columns.host_work,
        TIME_PER_TOKEN,
    ]


def _arranged(
    base: Side, other: Side, columns: Layout, changes: Sequence[Change]
) -> Changes:
    """Return the changes as headline, parts and further figures."""
    time, active, idle, host_idle, *rest, per_token = changes
    part_count = len(columns.parts)
    parts, host_work = rest[:part_count], rest[part_count:]
    headline = time
    figures = [active, idle, host_idle, *host_work]
    if columns.unit == Unit.WINDOW:
        headline = idle
        figures.remove(idle)
        parts = [part for part in parts if part.name.startswith(IDLE_PREFIX)]
    tokens_known = per_token.base and per_token.other
    if columns.unit == Unit.STEP and tokens_known:
        figures.append(per_token)
    parts += _unexplained(headline, parts)
    parts.sort(key=_largest_first)
    return Changes(
        base=base,
        other=other,
        unit=columns.unit,
        headline=headline,
        parts=tuple(parts),
        figures=tuple(figures),
    )


def _largest_first(part: Change) -> tuple[float, float, str]:
    return -abs(part.change), -part.base, part.name


def _unexplained(headline: Change, parts: Sequence[Change]) -> list[Change]:
    """Return what the parts leave of the headline: medians of parts need not add up to its own."""
    base = headline.base - sum(part.base for part in parts)
    other = headline.other - sum(part.other for part in parts)
    rest = Change(REST, base, other, None)
    return [rest] if abs(rest.change) > ROUNDING * abs(headline.base) else []


def _unit(base: Side, other: Side, per: str | None) -> Unit:
    """Return the unit asked for, else the first that all recordings tell and that is fair."""
    recordings = (*base.recordings, *other.recordings)
    without = {
        Unit.STEP: [recording for recording in recordings if not recording.step_count],
        Unit.TOKEN: [recording for recording in recordings if not recording.token_count],
        Unit.WINDOW: [],
    }
    if per is None:
        if steps_differ(base, other):
            return Unit.TOKEN
        return Unit.WINDOW if without[Unit.STEP] else Unit.STEP
    if per not in list(Unit):
        raise ConfigError(f"--per {per}: give {', '.join(Unit)}")
    unit = Unit(per)
    if without[unit]:
        raise ConfigError(
            f"--per {per}: {without[unit][0].path} does not tell its {per}s; "
            "leave --per out, or give --per window"
        )
    return unit
