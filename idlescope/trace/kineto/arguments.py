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
_KEYS = {
    argument_name: re.compile(rb'"%s"\s*:' % argument_name.encode())
    for argument_name in Args.__struct_encode_fields__
}
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
    before_arguments = decode_object(text[: arguments.start()] + b"}")
    if before_arguments is None or not _is_whole(before_arguments.event):
        return None
    text_of_arguments = text[arguments.end() :]
    if _FIELDS.search(text_of_arguments):  # of another event, whose start is damaged
        return None
    wanted = _wanted(text_of_arguments)
    if wanted is None or (
        before_arguments.event.cat in _LINKED and "correlation" not in wanted
    ):
        return None
    rebuilt_text = b", ".join(
        b'"%s": %s' % (argument_name.encode(), value_text)
        for argument_name, value_text in wanted.items()
    )
    rebuilt_event = decode_object(
        before_arguments.text[:-1] + b', "args": {' + rebuilt_text + b"}}"
    )
    if rebuilt_event is None:
        return None
    return rebuilt_event._replace(
        repairs=[*before_arguments.repairs, (LEFT_OUT, 1, arguments.start())]
    )


def _is_whole(event: Event) -> bool:
    """Return whether an event has its times; they can stand behind the arguments."""
    has_length = event.ph != "X" or event.dur != 0
    return bool(event.ph) and event.ts is not None and has_length


def _wanted(text: bytes) -> dict[str, bytes] | None:
    """Return the text of each wanted argument; None where one cannot be told for sure."""
    values: dict[str, bytes] = {}
    for argument_name, key_pattern in _KEYS.items():
        value_starts = [match.end() for match in key_pattern.finditer(text)]
        if not value_starts:
            continue
        value_match = _VALUE.match(text, value_starts[0])
        if len(value_starts) > 1 or value_match is None:
            return None
        values[argument_name] = value_match[1]
    return values
