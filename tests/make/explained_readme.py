"""Write the tables of analysis/README.md that come from the explanations.

`python -m tests.make.explained_readme` writes them anew; a test holds the file to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import idlescope
from idlescope.analysis.explain.causes import CAUSES
from idlescope.analysis.explain.entry import Entry, WordKind
from idlescope.analysis.explain.host_work import HOST_WORK
from idlescope.analysis.explain.ranks import RANKS
from idlescope.analysis.explain.terms import DEVICE_TERMS, METHOD_TERMS, REQUEST_TERMS
from idlescope.analysis.explain.words import of_kind

README = Path(idlescope.__file__).parent / "analysis" / "README.md"
MARKED = re.compile(r"(<!-- explained: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = Callable[[Entry], Sequence[str]]


def table(columns: Sequence[str], entries: Sequence[Entry], row: Row) -> str:
    """Return a Markdown table with a row for each entry."""
    lines = [columns, ["---"] * len(columns), *map(row, entries)]
    return (
        "".join(f"| {' | '.join(line)} |\n" for line in lines)
        .replace("| ---", "|---")
        .replace("--- |", "---|")
    )


def measured(entry: Entry) -> Sequence[str]:
    return entry.name, entry.measured


def meant(entry: Entry) -> Sequence[str]:
    return entry.name, entry.means


TABLES = {
    "per device": table(("number", "definition"), (*DEVICE_TERMS, *REQUEST_TERMS), measured),
    "causes": table(
        ("cause", "its part of the gap", "reading"), CAUSES, lambda entry: (entry.name, entry.measured, entry.means)
    ),
    "host": table(("what the host did", "reading"), HOST_WORK, meant),
    "verdicts": table(("verdict", "when"), of_kind(WordKind.VERDICT), measured),
    "rank numbers": table(
        ("number", "definition"), [entry for entry in RANKS if entry.kinds == (WordKind.TERM,)], measured
    ),
    "rank verdicts": table(
        ("verdict", "when"), [entry for entry in RANKS if WordKind.RANKS in entry.kinds], measured
    ),
    "methods": table(("word", "how it is measured"), METHOD_TERMS, measured),
}  # fmt: skip


def rewritten(text: str) -> str:
    """Return a README with its tables as they should be."""
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]}{found[3]}", text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text("utf-8")), "utf-8")
