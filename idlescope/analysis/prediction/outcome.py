"""What the steps of a trace take, as recorded or as predicted."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from idlescope.analysis.prediction.documents import OutcomeDocument


class Outcome(Struct, frozen=True):
    """The time that steps take. The interval holds the true total with 95 % confidence."""

    total_ns: int  # of all steps
    margin_ns: (
        int | None
    )  # half the interval's width; None where the steps are too few to tell
    step_ns: float  # from the end of one step to that of the next on the device
    compute_idle_pct: (
        float  # share of the time without a kernel, filling and draining left out
    )
    steps: int
    tokens: int | None  # of all steps; None where the trace does not say

    @property
    def low_ns(self) -> int | None:
        """Return the least that the total may be; None where it cannot be told."""
        return None if self.margin_ns is None else max(0, self.total_ns - self.margin_ns)

    @property
    def high_ns(self) -> int | None:
        """Return the most that the total may be; None where it cannot be told."""
        return None if self.margin_ns is None else self.total_ns + self.margin_ns

    @property
    def tokens_per_s(self) -> float | None:
        """Return the tokens per second; None where the trace does not say how many there were."""
        if self.tokens is None or not self.total_ns:
            return None
        return self.tokens / (self.total_ns / 1e9)

    def less_than(self, other: Outcome) -> float:
        """Return the share of the other's time that this one saves; negative where it is longer."""
        return 1.0 - self.total_ns / other.total_ns if other.total_ns else 0.0

    def figures(self) -> dict[str, Any]:
        """Return the fields of OutcomeDocument by name."""
        low, high = self.low_ns, self.high_ns
        return {
            "total_s": self.total_ns / 1e9,
            "low_s": None if low is None else low / 1e9,
            "high_s": None if high is None else high / 1e9,
            "steps": self.steps,
            "step_ms": self.step_ns / 1e6,
            "compute_idle_pct": self.compute_idle_pct,
            "tokens_per_s": self.tokens_per_s,
        }

    def document(self) -> OutcomeDocument:
        """Return what is written as JSON."""
        return OutcomeDocument(**self.figures())

    def to_json(self) -> dict[str, Any]:
        """Return the `predicted` entry of summary.json."""
        return dict(msgspec.to_builtins(self.document()))
