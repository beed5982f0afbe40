"""The JSON that comparisons and checks are written as: `compare --json` and `check --json`."""

from __future__ import annotations

from msgspec import Struct

COMPARE_SCHEMA = 1
CHECK_SCHEMA = 1


class SideDocument(Struct):
    """One side of a comparison."""

    letter: str
    paths: list[str]
    device: str
    model: str | None
    modelled: bool
    batching: str | None
    steps: list[int]
    tokens_a_step: float | None


class ChangeDocument(Struct):
    """One figure on both sides, in ns per step or token, or per cent of the window."""

    name: str
    base: float
    other: float
    change: float
    low: float | None
    high: float | None
    percent: float | None
    different: bool


class PartDocument(Struct):
    """One part: ChangeDocument's fields, and its share of the headline's change."""

    name: str
    base: float
    other: float
    change: float
    low: float | None
    high: float | None
    percent: float | None
    different: bool
    share_pct: float | None


class VerdictDocument(Struct):
    """What a comparison shows."""

    kind: str
    text: str


class ComparisonDocument(Struct):
    """One entry of `compare --json`."""

    mode: str | None
    base: SideDocument
    other: SideDocument
    unit: str
    headline: ChangeDocument
    parts: list[PartDocument]
    figures: list[ChangeDocument]
    noise: str
    verdict: VerdictDocument
    warnings: list[str]


class ComparisonsDocument(Struct):
    """The whole of `compare --json`."""

    schema: int
    comparisons: list[ComparisonDocument]


class CheckDocument(Struct):
    """One limit, held against one device or one recording."""

    limit: str
    subject: str
    holds: bool
    says: str
    doubtful: bool
    found: str  # the figure with its unit; empty where it cannot be told
    allowed: str  # the limit's, the same


class TrendDocument(Struct):
    """What one figure did over the commits of a history."""

    subject: str
    figure: str
    unit: str
    kind: str
    commits: int
    untold: int  # commits that do not tell it
    best: float
    last: float
    noise: float
    says: str


class ChecksDocument(Struct):
    """The whole of `check --json`."""

    schema: int
    holds: bool
    checks: list[CheckDocument]
    trends: list[TrendDocument] = []  # of --history
