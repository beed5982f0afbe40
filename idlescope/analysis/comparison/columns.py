"""The figures by which two sides are compared, in columns: in all, by part, and the host's work beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.comparison.blocks import COMPUTE, COPIES, HOST_PREFIX, IDLE_PREFIX, Sample
from idlescope.analysis.idle.causes import CAUSES
from idlescope.trace.table import Float64

SMALL = 0.001  # of the window: divisions of `host` and kinds of host work below are not told apart
HOST_PARTS = 12  # divisions of `host` that are, the largest
ACTIVE, IDLE, HOST_IDLE = "device active", "idle", f"{IDLE_PREFIX}host"
OTHER_HOST = f"{HOST_PREFIX}everything else"
TOTALS = 4  # columns before the parts: time, active, idle, idle by cause of the host
DEVICE_PARTS, OTHER_CAUSES = 2, len(CAUSES) - 1  # the first and the last of the parts


@dataclass(frozen=True)
class Layout:
    """What the columns are: four totals, the parts that the first of them is the sum of, host work, time a token."""

    unit: str  # what all but the last are given for: "step", "token" or "window" (in per cent)
    parts: tuple[str, ...]
    work: tuple[str, ...]

    @property
    def divided(self) -> slice:
        """Return which columns are the parts."""
        return slice(TOTALS, TOTALS + len(self.parts))

    @property
    def sums(self) -> tuple[slice, ...]:
        """Return the columns of which each total is the sum."""
        first, end = self.divided.start, self.divided.stop
        host = first + DEVICE_PARTS
        return (
            slice(first, end),
            slice(first, host),
            slice(host, end),
            slice(host, end - OTHER_CAUSES),
        )

    def values(self, s: Sample) -> Float64:
        """Return every column of a recording; the time a token is 0 where that is not known."""
        columns = self._ns(s).sum(0) / self._units(s).sum()
        return np.append(columns, s.window.sum() / s.tokens.sum() if s.tokens.any() else 0.0)

    def deviations(self, s: Sample, blocks: int) -> Float64:
        """Return by how much each of so many blocks has more than its units account for, per unit of a mean block.

        That is a ratio linearised (Cochran, "Sampling techniques", 1977, section 6.3).
        """
        first = np.arange(blocks) * s.blocks // blocks

        def linearised(ns: Float64, units: Float64) -> Float64:
            ns, units = np.add.reduceat(ns, first), np.add.reduceat(units, first)
            return np.asarray(
                (ns - np.outer(units, ns.sum(0) / units.sum())) / units.mean(), np.float64
            )

        a_token = (
            linearised(s.window[:, None], s.tokens) if s.tokens.any() else np.zeros((blocks, 1))
        )
        return np.hstack([linearised(self._ns(s), self._units(s)), a_token])

    def _units(self, s: Sample) -> Float64:
        """Return how many units each block has: steps, tokens, or hundredths of its time."""
        if self.unit == "window":
            return s.window / 100.0
        return s.steps if self.unit == "step" else s.tokens

    def _ns(self, s: Sample) -> Float64:
        """Return the nanoseconds of each column but the last in each block."""
        small = [
            ns for n, ns in s.parts.items() if n.startswith(HOST_PREFIX) and n not in self.parts
        ]
        zero = np.zeros(s.blocks)
        divided = [
            sum(small, zero) if n == OTHER_HOST else s.parts.get(n, zero) for n in self.parts
        ]
        ns = np.column_stack(
            [*(zero for _ in range(TOTALS)), *divided, *(s.work[n] for n in self.work)]
        )
        for total, parts in enumerate(self.sums):
            ns[:, total] = ns[:, parts].sum(1)
        return ns


def layout(samples: Sequence[Sample], unit: str) -> Layout:
    """Return the columns for some recordings: what is small in all of them, or unknown in one, is not told apart."""
    host = _largest(
        samples,
        ({n: ns for n, ns in s.parts.items() if n.startswith(HOST_PREFIX)} for s in samples),
    )
    named = [n for n, share in host.items() if share >= SMALL][:HOST_PARTS]
    rest = [OTHER_HOST] if len(named) < len(host) else []
    work = _largest(samples, (s.work for s in samples))
    known = [n for n, share in work.items() if share >= SMALL and all(n in s.work for s in samples)]
    others = [f"{IDLE_PREFIX}{cause}" for cause in CAUSES[1:]]
    return Layout(unit, (COMPUTE, COPIES, *named, *rest, *others), tuple(known))


def _largest(
    samples: Sequence[Sample], tables: Iterable[Mapping[str, Float64]]
) -> dict[str, float]:
    """Return the largest share of the window that each name has in any recording, the largest first."""
    shares: dict[str, float] = {}
    for s, columns in zip(samples, tables, strict=True):
        for name, ns in columns.items():
            shares[name] = max(shares.get(name, 0.0), float(ns.sum() / s.window.sum()))
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
