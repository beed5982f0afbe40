"""The figures by which two sides are compared, in columns: totals, parts, and host work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.comparison.breakdown import (
    APART,
    COMMUNICATION,
    COMPUTE,
    COPIES,
    HOST_PREFIX,
    IDLE_PREFIX,
    Breakdown,
)
from idlescope.analysis.comparison.unit import Unit
from idlescope.analysis.idle.causes import CAUSES
from idlescope.trace.table import Float64, Int64

SMALL = (
    0.001  # of the window: smaller divisions of `host` and kinds of host work are summed up
)
HOST_PARTS = 12  # divisions of `host` that are told apart, the largest
ACTIVE, IDLE, HOST_IDLE = "device active", "idle", f"{IDLE_PREFIX}host"
OTHER_HOST = f"{HOST_PREFIX}everything else"
TOTALS = 4  # columns before the parts: time, active, idle, idle that the host caused
OTHER_CAUSES = len(CAUSES) - 1  # the last of the parts: causes other than the host


@dataclass(frozen=True)
class Layout:
    """What the columns are: four totals, parts that sum up to them, host work, time per token."""

    unit: Unit  # what all columns but the last are given for
    parts: tuple[str, ...]
    host_work: tuple[str, ...]

    @property
    def divided(self) -> slice:
        """Return which columns are the parts."""
        return slice(TOTALS, TOTALS + len(self.parts))

    @property
    def sums(self) -> tuple[slice, ...]:
        """Return for each total the columns that it is the sum of."""
        first, end = self.divided.start, self.divided.stop
        idle = first + self.parts.index(COPIES) + 1
        other_causes = end - OTHER_CAUSES
        return (
            slice(first, end),
            slice(first, idle),
            slice(idle, end),
            slice(idle, other_causes),
        )

    def values(self, recording: Breakdown) -> Float64:
        """Return every column of a recording; the time per token is 0 where it is not known."""
        per_unit = self._ns(recording).sum(0) / self._units(recording).sum()
        per_token = 0.0
        if recording.tokens.any():
            per_token = recording.at_work.sum() / recording.tokens.sum()
        return np.append(per_unit, per_token)

    def deviations(self, recording: Breakdown, blocks: int) -> Float64:
        """Return how much more each of `blocks` blocks has than its units account for.

        Rows are blocks, columns those of `values`; figures are per unit of a mean block.
        """
        # Join a recording's blocks to as many as are asked for.
        first = np.arange(blocks) * recording.blocks // blocks
        ns = self._ns(recording)
        units = self._units(recording)
        per_unit = _linearised(ns, units, first)
        per_token = np.zeros((blocks, 1))
        if recording.tokens.any():
            at_work = recording.at_work[:, np.newaxis]
            per_token = _linearised(at_work, recording.tokens, first)
        return np.hstack([per_unit, per_token])

    def _units(self, recording: Breakdown) -> Float64:
        """Return how many units each block has: steps, tokens, or hundredths of its time."""
        if self.unit == Unit.WINDOW:
            return recording.window / 100.0
        return recording.steps if self.unit == Unit.STEP else recording.tokens

    def _ns(self, recording: Breakdown) -> Float64:
        """Return the nanoseconds of each column but the last, in each block."""
        zero = np.zeros(recording.blocks)
        other_host = zero
        for name, ns in recording.parts.items():
            if name.startswith(HOST_PREFIX) and name not in self.parts:
                other_host = other_host + ns
        columns = [zero] * TOTALS
        given = {**recording.parts, OTHER_HOST: other_host, APART: recording.apart}
        columns += [given.get(name, zero) for name in self.parts]
        columns += [recording.host_work[name] for name in self.host_work]
        table = np.column_stack(columns)
        for total, parts in enumerate(self.sums):
            table[:, total] = table[:, parts].sum(1)
        return table


def layout(recordings: Sequence[Breakdown], unit: Unit) -> Layout:
    """Return the columns for some recordings.

    Divisions of `host` and host work that are small in all of them are not told apart; host work
    that one of them does not tell is left out.
    """
    windows = [float(recording.window.sum()) for recording in recordings]
    host_tables = [_host_parts(recording) for recording in recordings]
    host_parts = _largest_shares(host_tables, windows)
    large = [name for name, share in host_parts.items() if share >= SMALL]
    named = large[:HOST_PARTS]
    rest = [OTHER_HOST] if len(named) < len(host_parts) else []
    other_causes = [f"{IDLE_PREFIX}{cause}" for cause in CAUSES[1:]]
    is_apart = any(recording.apart.any() for recording in recordings)
    apart = [APART] if unit == Unit.WINDOW and is_apart else []

    work_tables = [recording.host_work for recording in recordings]
    host_work = _largest_shares(work_tables, windows)
    known = []
    for name, share in host_work.items():
        in_all = all(name in recording.host_work for recording in recordings)
        if share >= SMALL and in_all:
            known.append(name)
    return Layout(
        unit=unit,
        parts=(*_device_parts(recordings), *named, *rest, *apart, *other_causes),
        host_work=tuple(known),
    )


def _linearised(ns: Float64, units: Float64, first: Int64) -> Float64:
    """Return the deviations of a ratio, linearised, in joined blocks that begin at `first`.

    Cochran, "Sampling techniques", 1977, section 6.3.
    """
    ns = np.add.reduceat(ns, first)
    units = np.add.reduceat(units, first)
    ratio = ns.sum(0) / units.sum()
    expected = np.outer(units, ratio)
    return np.asarray((ns - expected) / units.mean(), np.float64)


def _device_parts(recordings: Sequence[Breakdown]) -> tuple[str, ...]:
    """Return the parts in which the device works: communication only where there is any."""
    communicates = any(COMMUNICATION in recording.parts for recording in recordings)
    return (COMPUTE, COMMUNICATION, COPIES) if communicates else (COMPUTE, COPIES)


def _host_parts(recording: Breakdown) -> dict[str, Float64]:
    parts = recording.parts.items()
    return {name: ns for name, ns in parts if name.startswith(HOST_PREFIX)}


def _largest_shares(
    tables: Sequence[Mapping[str, Float64]], windows: Sequence[float]
) -> dict[str, float]:
    """Return the largest share of the window that each name has in any recording.

    Names are in order of their share, the largest first.
    """
    shares: dict[str, float] = {}
    for table, window in zip(tables, windows, strict=True):
        for name, ns in table.items():
            share = float(ns.sum() / window)
            shares[name] = max(shares.get(name, 0.0), share)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
