"""The trends of a history: for terminals, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from idlescope.analysis.comparison.documents import TrendDocument
from idlescope.analysis.history.file import History
from idlescope.analysis.history.trend import IDLE, IDLE_PER_STEP, Trend, TrendKind
from idlescope.report.markdown import MarkdownRow, MarkdownSection
from idlescope.report.tables.terminal import empty_table, little_bars, plain

SHOWN_COMMITS = 20  # of a table
CHART_COMMITS = 60  # of a chart in Markdown
SHORT_COMMIT = 12
WORSE = (TrendKind.CREEP, TrendKind.JUMP)


def trend_table(trends: Sequence[Trend]) -> Table:
    """Return a row for each trend, with its course in little bars."""
    rows = empty_table("")
    for column in ("", "best", "now", ""):
        rows.add_column(column, justify="right" if column else "left", no_wrap=bool(column))
    for trend in trends:
        unit = trend.figure.unit
        style = "bold red" if trend.kind in WORSE else ""
        rows.add_row(
            plain(f"{trend.subject}: {trend.figure.name}", style),
            plain(f"{trend.best:.3g} {unit}"),
            plain(f"{trend.last:.3g} {unit}"),
            plain(bars(trend)),
        )
    return rows


def bars(trend: Trend) -> str:
    """Return the last commits' figures as bars from zero."""
    return little_bars(trend.values[-SHOWN_COMMITS:].tolist())


def damage_text(history: History) -> str:
    """Return how many lines could not be read; empty where all could."""
    if not history.damaged:
        return ""
    lines = "line is" if history.damaged == 1 else "lines are"
    return (
        f"{history.damaged:,} {lines} damaged and left out, the first is line "
        f"{history.first_damaged:,}"
    )


def to_documents(trends: Sequence[Trend]) -> list[TrendDocument]:
    """Return the trends as they are written to JSON."""
    return [
        TrendDocument(
            subject=trend.subject,
            figure=trend.figure.name,
            unit=trend.figure.unit,
            kind=str(trend.kind),
            commits=len(trend.commits),
            untold=trend.untold,
            best=trend.best,
            last=trend.last,
            noise=trend.noise,
            says=trend.text(),
        )
        for trend in trends
    ]


def to_markdown(trends: Sequence[Trend], history: History) -> str:
    """Return what the figures did, a chart that GitHub and GitLab draw, and the last commits."""
    if not trends:
        return ""
    main = main_trend(trends)
    others = [trend.text() for trend in trends if trend is not main]
    columns = [f"{trend.subject}, {trend.figure.name}" for trend in trends]
    by_commit = [
        dict(zip(trend.commits, trend.values.tolist(), strict=True)) for trend in trends
    ]
    commits = [*dict.fromkeys(commit for trend in trends for commit in trend.commits)]
    rows = [
        MarkdownRow(
            commit[:SHORT_COMMIT],
            [
                f"{values[commit]:.3g} {trend.figure.unit}" if commit in values else ""
                for trend, values in zip(trends, by_commit, strict=True)
            ],
            bold=False,
        )
        for commit in commits[-SHOWN_COMMITS:]
    ]
    notes = [note for note in (damage_text(history),) if note]
    section = MarkdownSection("history", main.text(), others, columns, rows, notes)
    return f"{section.to_text()}\n{_chart(main)}"


def main_trend(trends: Sequence[Trend]) -> Trend:
    """Return the trend to look at first: one that got worse, else idle time."""
    worse = [trend for trend in trends if trend.kind in WORSE]
    of_idle = [trend for trend in worse or trends if trend.figure in (IDLE_PER_STEP, IDLE)]
    return max(of_idle or worse or trends, key=lambda trend: trend.rise_pct)


def _chart(trend: Trend) -> str:
    """Return a line chart as Mermaid, which GitHub draws within comments."""
    values = trend.values[-CHART_COMMITS:].tolist()
    heights = ", ".join(f"{value:.6g}" for value in values)
    lines = [
        "```mermaid",
        "xychart-beta",
        f'  title "{trend.figure.name} in {trend.figure.unit}"',
        f"  x-axis 1 --> {max(len(values), 2)}",
        f"  line [{heights}]",
        "```",
        "",
    ]
    return "\n".join(lines)
