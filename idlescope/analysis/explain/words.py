"""Find what is said of a word, as a result prints it or as people type it."""

from __future__ import annotations

import re
from difflib import get_close_matches

from idlescope.analysis.explain.causes import CAUSES
from idlescope.analysis.explain.comparisons import COMPARISONS
from idlescope.analysis.explain.entry import Entry, WordKind
from idlescope.analysis.explain.host_work import HOST_WORK
from idlescope.analysis.explain.ranks import RANKS
from idlescope.analysis.explain.steps import STEPS
from idlescope.analysis.explain.terms import TERMS
from idlescope.analysis.explain.verdicts import VERDICTS
from idlescope.errors import ConfigError

ENTRIES = (*VERDICTS, *CAUSES, *HOST_WORK, *STEPS, *RANKS, *COMPARISONS, *TERMS)
MOST_SUGGESTIONS = 4
LONGEST_WORD = 60  # of what is repeated in an error
_SPACES = re.compile(r"[\s_-]+")
# What labels of host time begin with -> the entry; the rest of the label is a name of the trace.
_PREFIXES = (
    ("call: ", "waiting call"),
    ("range: ", "range"),
    ("between ", "between"),
    ("waits for another process", "waits for another process"),
    ("waits for another thread", "waits for another thread"),
)
_AFTER_PHASE = re.compile(r" \(| › |: ")


def of_kind(kind: WordKind) -> tuple[Entry, ...]:
    """Return the entries of a kind, in the order in which they are judged or shown."""
    return tuple(entry for entry in ENTRIES if kind in entry.kinds)


def explained(word: str) -> Entry:
    """Return the entry of a word, or of a label of host time such as `call: cudaStreamSynchronize`.

    Raises ConfigError with the nearest words where there is none.
    """
    entry = find(word)
    if entry is not None:
        return entry
    near = nearest(word)
    asked = word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…"
    hint = (
        f"did you mean {_either(near)}?"
        if near
        else "`idlescope explain` lists every word that is"
    )
    raise ConfigError(f"{asked!r} is not explained: {hint}")


def find(word: str) -> Entry | None:
    """Return the entry of a word; None where there is none."""
    entry = _BY_WORD.get(_plain(word))
    if entry is not None:
        return entry
    for prefix, name in _PREFIXES:
        if word.strip().startswith(prefix):
            return _BY_WORD[_plain(name)]
    phase = _AFTER_PHASE.split(word, maxsplit=1)[0]
    return None if phase == word else _BY_WORD.get(_plain(phase))


def nearest(word: str) -> list[str]:
    """Return the names of the entries that a word may have meant, the nearest first."""
    asked = _plain(word)
    close = get_close_matches(asked, _BY_WORD, n=2 * MOST_SUGGESTIONS, cutoff=0.6)
    close += [known for known in _BY_WORD if len(asked) > 2 and asked in known]
    names = dict.fromkeys(_BY_WORD[known].name for known in close)
    return list(names)[:MOST_SUGGESTIONS]


def _either(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _plain(word: str) -> str:
    """Return a word without what people write in more than one way."""
    return _SPACES.sub(" ", word.strip().strip("`\"'").lower())


_BY_WORD = {
    _plain(spelling): entry
    for entry in reversed(ENTRIES)  # of equal words the first entry counts
    for spelling in (*reversed(entry.also), entry.name)
}
