"""The text of one event of a Chrome JSON trace. Times are nanoseconds, written as exact decimal microseconds.

Names and arguments are JSON already: a name as `json.dumps` gives it, an argument as `"key":value`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

OWN = "idlescope"  # the category of what idlescope made of a trace's records: no reader takes it for one of them


def complete(
    category: str, name: str, pid: int, tid: int, start: int, length: int, arguments: str = ""
) -> str:
    """Return a slice."""
    return (
        f'{{"ph":"X","cat":"{category}","name":{name},"pid":{pid},"tid":{tid},"ts":{us(start)},"dur":{us(length)}'
        f"{arguments}}}"
    )


def arrow(phase: str, category: str, number: int, pid: int, tid: int, time: int) -> str:
    """Return where an arrow begins (s), passes (t) or ends (f): at the innermost slice that is open at the time."""
    binding = ',"bp":"e"' if phase == "f" else ""
    return (
        f'{{"ph":"{phase}"{binding},"cat":"{category}","name":"{category}","id":{number},"pid":{pid},"tid":{tid},'
        f'"ts":{us(time)}}}'
    )


def instant(name: str, pid: int, tid: int, time: int, value: float) -> str:
    """Return what happened at a time, with a number that says to whom; whole numbers are written as such."""
    args = f'"args":{{"value":{_number(value)!r}}}'
    return f'{{"ph":"i","s":"t","pid":{pid},"tid":{tid},"ts":{us(time)},"name":{name},{args}}}'


def counter(
    name: str, pid: int, time: int, value: float, series: str = "value", category: str = ""
) -> str:
    """Return what a counter stands at from a time on; whole numbers are written as such.

    Perfetto calls it by the name and the series.
    """
    own = f'"cat":"{category}",' if category else ""
    return f'{{"ph":"C",{own}"pid":{pid},"tid":0,"ts":{us(time)},"name":{name},"args":{{"{series}":{_number(value)!r}}}}}'


def metadata(what: str, pid: int, tid: int, argument: str) -> str:
    """Return what a process or a track is called, or where it stands."""
    return f'{{"ph":"M","name":"{what}","pid":{pid},"tid":{tid},"ts":0,"args":{{{argument}}}}}'


def track(pid: int, tid: int, label: str) -> Iterator[str]:
    """Yield what a track is called, and that it stands where its tid says: Perfetto goes by tid, others by index."""
    yield metadata("thread_name", pid, tid, f'"name":{json.dumps(label)}')
    yield metadata("thread_sort_index", pid, tid, f'"sort_index":{tid}')


def arguments(*entries: str) -> str:
    """Return the `args` of a slice, of those that are not empty."""
    known = ",".join(e for e in entries if e)
    return f',"args":{{{known}}}' if known else ""


def us(ns: int) -> str:
    """Return nanoseconds as decimal microseconds."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 1000}.{ns % 1000:03d}"


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() and abs(value) < 1 << 53 else value
