"""Keep an event whose arguments are damaged, where nothing that a figure depends on is."""

from __future__ import annotations

import re

from idlescope.trace.kineto import categories
from idlescope.trace.kineto.records import Args, Event, RepairedEvent, decode_object

_ARGUMENTS = re.compile(rb',?\s*"args"\s*:\s*\{')
# A number or a plain text, up to the next argument or the end of the object: "5,3" is no number.
_VALUE = re.compile(
    rb'\s*("[^"\\\x00-\x1f]*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?:,\s*[^-\s\d]|\})'
)
_KEYS = {key: re.compile(rb'"%s"\s*:' % key.encode()) for key in Args.__struct_fields__}
_FIELDS = re.compile(rb'"(?:ph|cat|ts|dur|pid|tid)"\s*:')
_LINKED = categories.CALLS | categories.OPERATIONS.keys()
LEFT_OUT = "arguments that cannot be read were left out, their records kept"


def without_damaged_arguments(text: bytes) -> RepairedEvent | None:
    """Return the event in a text whose arguments do not decode, with those of them that are wanted.

    `text` is that of one object, or what stands of it before the next one. None where something is
    damaged that is wanted: a field of the event itself, or an argument of which figures are made.
    """
    arguments = _ARGUMENTS.search(text)
    if arguments is None:
        return None
    head = decode_object(text[: arguments.start()] + b"}")
    if head is None or not _is_whole(head.event):
        return None
    rest = text[arguments.end() :]
    if _FIELDS.search(rest):  # of another event, whose start is damaged
        return None
    wanted = _wanted(rest)
    if wanted is None or (head.event.cat in _LINKED and "correlation" not in wanted):
        return None
    rebuilt = b", ".join(b'"%s": %s' % (key.encode(), value) for key, value in wanted.items())
    found = decode_object(head.text[:-1] + b', "args": {' + rebuilt + b"}}")
    if found is None:
        return None
    return found._replace(repairs=[*head.repairs, (LEFT_OUT, 1, arguments.start())])


def _is_whole(event: Event) -> bool:
    """Return whether an event has its times; they can stand behind the arguments."""
    has_length = event.ph != "X" or event.dur != 0
    return bool(event.ph) and event.ts is not None and has_length


def _wanted(text: bytes) -> dict[str, bytes] | None:
    """Return the text of each wanted argument; None where one cannot be told for sure."""
    values: dict[str, bytes] = {}
    for key, pattern in _KEYS.items():
        places = [match.end() for match in pattern.finditer(text)]
        if not places:
            continue
        value = _VALUE.match(text, places[0])
        if len(places) > 1 or value is None:
            return None
        values[key] = value[1]
    return values
