"""The text of one event of a Chrome JSON trace.

Times are nanoseconds, written as exact decimal microseconds.

Names and arguments are JSON already: a name as `json.dumps` gives it, an argument as `"key":value`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

# The category of what idlescope made of a trace's records: no reader takes it for a record.
OWN = "idlescope"


def complete(
    category: str,
    name: str,
    pid: int,
    tid: int,
    start: int,
    length: int,
    arguments: str = "",
) -> str:
    """Return a slice."""
    return (
        f'{{"ph":"X","cat":"{category}","name":{name},"pid":{pid},"tid":{tid},'
        f'"ts":{us(start)},"dur":{us(length)}{arguments}}}'
    )


def arrow(phase: str, category: str, number: int, pid: int, tid: int, time: int) -> str:
    """Return where an arrow begins (s), passes (t) or ends (f).

    It is tied to the innermost slice that is open at the time.
    """
    binding = ',"bp":"e"' if phase == "f" else ""
    return (
        f'{{"ph":"{phase}"{binding},"cat":"{category}","name":"{category}","id":{number},'
        f'"pid":{pid},"tid":{tid},"ts":{us(time)}}}'
    )


def instant(name: str, pid: int, tid: int, time: int, value: float) -> str:
    """Return what happened at a time, with a number that says to whom."""
    value_argument = f'"args":{{"value":{_number(value)!r}}}'
    return (
        f'{{"ph":"i","s":"t","pid":{pid},"tid":{tid},"ts":{us(time)},"name":{name},'
        f"{value_argument}}}"
    )


def counter(
    name: str, pid: int, time: int, value: float, series: str = "value", category: str = ""
) -> str:
    """Return what a counter stands at from a time on; Perfetto calls it by name and series."""
    of_category = f'"cat":"{category}",' if category else ""
    value_argument = f'"args":{{"{series}":{_number(value)!r}}}'
    return (
        f'{{"ph":"C",{of_category}"pid":{pid},"tid":0,"ts":{us(time)},"name":{name},'
        f"{value_argument}}}"
    )


def metadata(what: str, pid: int, tid: int, argument: str) -> str:
    """Return what a process or a track is called, or where it stands."""
    return (
        f'{{"ph":"M","name":"{what}","pid":{pid},"tid":{tid},"ts":0,"args":{{{argument}}}}}'
    )


def track(pid: int, tid: int, label: str) -> Iterator[str]:
    """Yield what a track is called, and that it stands where its tid says.

    Perfetto goes by the tid, other viewers by the index.
    """
    yield metadata("thread_name", pid, tid, f'"name":{json.dumps(label)}')
    yield metadata("thread_sort_index", pid, tid, f'"sort_index":{tid}')


def arguments(*entries: str) -> str:
    """Return the `args` of a slice, of those that are not empty."""
    known_entries = ",".join(json_entry for json_entry in entries if json_entry)
    return f',"args":{{{known_entries}}}' if known_entries else ""


def us(ns: int) -> str:
    """Return nanoseconds as decimal microseconds."""
    sign_text, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign_text}{ns // 1000}.{ns % 1000:03d}"


def _number(value: float) -> float:
    """Return a whole number as an int, so that it is written as one."""
    is_whole = float(value).is_integer() and abs(value) < 1 << 53
    return int(value) if is_whole else value
