"""What is said of the words of a result, for terminals."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from idlescope.analysis.explain.entry import Entry, WordKind
from idlescope.analysis.explain.words import of_kind
from idlescope.report.tables.terminal import empty_table, plain

TITLES = {
    WordKind.VERDICT: "Verdicts on a device, the first that fits",
    WordKind.CAUSE: "Causes of a gap",
    WordKind.HOST: "What the host did during host idle",
    WordKind.BATCHING: "Batching",
    WordKind.SPREAD: "How idle is spread over the steps",
    WordKind.RANKS: "Verdicts on ranks",
    WordKind.COMPARISON: "Comparisons",
    WordKind.TERM: "Terms",
}


def kinds_text(entry: Entry) -> str:
    """Return where a word stands: `verdict, batching`."""
    return ", ".join(map(str, entry.kinds))


def details(entry: Entry) -> Table:
    """Return what is said of a word beside what it means: a row for each."""
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _rows(entry):
        grid.add_row(plain(label, "dim"), plain(text))
    return grid


def _rows(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "measured", entry.measured
    if entry.usually is not None:
        yield from entry.usually.by_loop().items()
    if entry.do:
        yield "what to do", entry.do
    if entry.also:
        yield "also called", ", ".join(entry.also)
    if entry.see:
        yield "see", ", ".join(entry.see)


def word_lists() -> Iterator[Table]:
    """Yield a table for each kind: its words, and what they mean."""
    for kind, title in TITLES.items():
        words = empty_table(title)
        words.show_header = False
        words.add_column("", max_width=26)
        words.add_column("", overflow="fold")
        for entry in of_kind(kind):
            words.add_row(plain(entry.name, "bold"), plain(entry.means))
        yield words
