"""What a comparison of two sides found: its figures, with what noise leaves of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from idlescope.analysis.comparison.breakdown import Breakdown
from idlescope.analysis.comparison.documents import (
    ChangeDocument,
    ComparisonDocument,
    PartDocument,
    SideDocument,
    VerdictDocument,
)
from idlescope.analysis.comparison.unit import Unit
from idlescope.analysis.drawn import figures
from idlescope.analysis.notebook import shown
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME_PER_TOKEN = "time per token"  # noqa: S105 - no password


class ComparisonKind(str, Enum):
    """What a comparison shows."""

    SLOWER = "slower"
    FASTER = "faster"
    MORE_IDLE = "more idle"
    LESS_IDLE = "less idle"
    SHIFTED = "shifted"  # no difference in all, but within
    NO_DIFFERENCE = "no difference"
    CANNOT_TELL = "cannot tell"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ComparisonVerdict:
    """What a comparison shows, and a sentence or two on it."""

    kind: ComparisonKind
    text: str


@dataclass(frozen=True)
class Side:
    """The recordings of one side; there is one at least."""

    letter: str  # what it is called in sentences
    recordings: tuple[Breakdown, ...]

    @property
    def first(self) -> Breakdown:
        """Return the first recording."""
        return self.recordings[0]

    @property
    def label(self) -> str:
        """Return the letter and the first path, how many more there are, and whether modelled."""
        others = len(self.recordings) - 1
        more = f" and {others} more" if others else ""
        modelled = " (modelled, not measured)" if self.first.modelled else ""
        return f"{self.letter}: {self.first.path}{more}{modelled}"

    @property
    def batching(self) -> str:
        """Return how all recordings are batched; empty where that is not known or not the same."""
        kinds = {recording.batching for recording in self.recordings}
        if len(kinds) > 1 or not kinds <= {SYNCHRONOUS, ASYNCHRONOUS, SERIALISED}:
            return ""
        return kinds.pop()

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why nothing can be concluded from a recording of the side, a sentence each."""
        doubts = [doubt for recording in self.recordings for doubt in recording.doubts]
        return tuple(dict.fromkeys(doubts))

    @property
    def steps(self) -> float:
        """Return the median number of steps of the recordings."""
        return float(np.median([recording.step_count for recording in self.recordings]))

    @property
    def tokens_per_step(self) -> float | None:
        """Return the median over recordings; None where a recording does not tell."""
        ratios = []
        for recording in self.recordings:
            tokens, steps = recording.token_count, recording.step_count
            if not tokens or not steps:
                return None
            ratios.append(tokens / steps)
        return float(np.median(ratios))

    @property
    def prompt_pct(self) -> float | None:
        """Return which share of the steps computes a prompt, as `tokens_per_step`."""
        shares = [recording.prompt_pct for recording in self.recordings]
        told = [share for share in shares if share is not None]
        return float(np.median(told)) if len(told) == len(shares) else None

    def document(self) -> SideDocument:
        """Return the side as it is written to JSON."""
        return SideDocument(
            letter=self.letter,
            paths=[recording.path for recording in self.recordings],
            device=self.first.device_name,
            model=self.first.model or None,
            modelled=self.first.modelled,
            batching=self.batching or None,
            steps=[int(recording.step_count) for recording in self.recordings],
            tokens_a_step=self.tokens_per_step,
        )


@dataclass(frozen=True)
class Change:
    """One figure on both sides: ns per step or token, or per cent of the window."""

    name: str
    base: float
    other: float
    margin: (
        float | None
    )  # half the 95 % interval of the change, which holds for all at once
    different: bool = False  # certainly more than noise, and large enough to matter

    @property
    def change(self) -> float:
        """Return how much more the other side has."""
        return self.other - self.base

    @property
    def percent(self) -> float | None:
        """Return the change in per cent of the base; None of nothing."""
        return 100.0 * self.change / self.base if self.base else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the change; None where noise is not known."""
        if self.margin is None:
            return None
        return self.change - self.margin, self.change + self.margin

    def figures(self) -> dict[str, Any]:
        """Return the fields of ChangeDocument by name."""
        low, high = self.interval or (None, None)
        return {
            "name": self.name,
            "base": self.base,
            "other": self.other,
            "change": self.change,
            "low": low,
            "high": high,
            "percent": self.percent,
            "different": self.different,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return dict(msgspec.to_builtins(ChangeDocument(**self.figures())))


@dataclass(frozen=True)
class Changes:
    """What changed from `base` to `other`, before it is judged."""

    base: Side
    other: Side
    unit: Unit  # what times are given for
    headline: Change  # time per step or token; idle, where neither is known
    parts: tuple[Change, ...]  # add up to the headline; the largest change first
    figures: tuple[Change, ...]  # further ones, which overlap with the parts

    @cached_property
    def all(self) -> tuple[Change, ...]:
        """Return the headline, the parts and the further figures."""
        return (self.headline, *self.parts, *self.figures)

    def share(self, part: Change) -> float | None:
        """Return a part's change in per cent of the headline's; None of nothing."""
        return 100.0 * part.change / self.headline.change if self.headline.change else None


@dataclass(frozen=True)
class Comparison(Changes):
    """What changed from `base` to `other`, and what it means."""

    noise: str  # where the intervals come from
    warnings: tuple[str, ...]
    verdict: ComparisonVerdict

    def __repr__(self) -> str:
        return f"<Comparison of {self.base.label} with {self.other.label}: {self.verdict.text}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict, and the parts that are more than noise."""
        scale, unit = (1.0, "%") if self.unit == Unit.WINDOW else (1e6, "ms")
        changed = [part for part in self.parts if part.different]
        rows = [
            (
                figure.name,
                f"{figure.base / scale:,.3f} {unit}",
                f"{figure.other / scale:,.3f} {unit}",
                f"{figure.change / scale:+,.3f} {unit}",
            )
            for figure in (self.headline, *changed)
        ]
        columns = ("", self.base.letter, self.other.letter, "change")
        return shown(self.verdict.text, columns, rows, self.warnings)

    def changes(self) -> Figure:
        """Draw the change of each part with its interval, as a matplotlib Figure."""
        return figures().changes(self)

    def document(self, mode: str = "") -> ComparisonDocument:
        """Return one entry of `compare --json`; `mode` is that of both sides, if they have one."""
        parts = [
            PartDocument(**part.figures(), share_pct=self.share(part))
            for part in self.parts
        ]
        in_unit = "% of the window" if self.unit == Unit.WINDOW else f"ns per {self.unit}"
        return ComparisonDocument(
            mode=mode or None,
            base=self.base.document(),
            other=self.other.document(),
            unit=in_unit,
            headline=ChangeDocument(**self.headline.figures()),
            parts=parts,
            figures=[ChangeDocument(**figure.figures()) for figure in self.figures],
            noise=self.noise,
            verdict=VerdictDocument(self.verdict.kind.value, self.verdict.text),
            warnings=list(self.warnings),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what changed as JSON values: an entry of `compare --json` without its mode."""
        document = dict(msgspec.to_builtins(self.document()))
        del document["mode"]
        return document
