"""The document of `idlescope explain --json`."""

from __future__ import annotations

import msgspec

from idlescope.analysis.explain.entry import Entry

SCHEMA = 1


class ExplanationsDocument(msgspec.Struct):
    """The entries of the words that were asked for; of all words where none was."""

    schema: int
    entries: list[Entry]
