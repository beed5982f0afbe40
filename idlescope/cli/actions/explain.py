"""What `idlescope explain` does."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console

from idlescope.analysis.explain.document import SCHEMA, ExplanationsDocument
from idlescope.analysis.explain.entry import Entry
from idlescope.analysis.explain.words import ENTRIES, explained
from idlescope.cli.next_command import show_next
from idlescope.report.tables import explanations
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text


def explain_command(word: str, as_json: bool) -> None:
    """Print what is said of a word; of none, every word. Raises ConfigError for an unknown one."""
    entries = [explained(word)] if word.strip() else [*ENTRIES]
    if as_json:
        document = ExplanationsDocument(SCHEMA, entries)
        sys.stdout.write(to_text(msgspec.to_builtins(document)))
        return
    console = Console()
    if word.strip():
        _show(console, entries[0])
    else:
        _list(console)


def _show(console: Console, entry: Entry) -> None:
    """Print all that is said of one word."""
    heading = plain(entry.name, "bold").append_text(
        plain(f"   {explanations.kinds_text(entry)}", "dim")
    )
    console.print(heading)
    console.print(plain(entry.means))
    console.print()
    console.print(explanations.details(entry))
    if entry.see:
        console.print()
        show_next(console, ["explain", *entry.see[0].split()], "is near to it")


def _list(console: Console) -> None:
    """Print every word with what it means, by kind."""
    for number, word_list in enumerate(explanations.word_lists()):
        if number:
            console.print()
        console.print(word_list)
    console.print()
    show_next(console, ["explain", "synchronous"], "says all of one word")
