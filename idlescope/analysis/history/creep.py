"""Hold a history to a limit: no figure may have risen, in one commit or in many."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.analysis.comparison.checks import Check
from idlescope.analysis.history.trend import Trend, TrendKind

LIMIT = "max_creep"


def creep_checks(trends: Sequence[Trend], allowed: float) -> list[Check]:
    """Return a check of each trend, which was judged by `allowed`, in per cent of the best level.

    A history of too few commits holds, in doubt.
    """
    return [_check(trend, allowed) for trend in trends]


def _check(trend: Trend, allowed: float) -> Check:
    too_few = trend.kind == TrendKind.TOO_FEW
    return Check(
        limit=LIMIT,
        subject=f"{trend.subject}, {trend.figure.name}",
        holds=trend.kind not in (TrendKind.CREEP, TrendKind.JUMP),
        says=f"{trend.text()} {allowed:g} % above the best level are allowed.",
        doubtful=too_few,
        found="" if too_few else f"{trend.rise_pct:+.3g} %",
        allowed=f"{allowed:g} %",
    )
