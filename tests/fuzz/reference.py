"""What a trace holds, by slow programs that share no line with idlescope's readers.

They return how long each device was active; None where they cannot tell, as where anything is damaged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

OPERATIONS = {"kernel", "gpu_memcpy", "gpu_memset"}
TABLES = {
    "CUPTI_ACTIVITY_KIND_KERNEL",
    "CUPTI_ACTIVITY_KIND_MEMCPY",
    "CUPTI_ACTIVITY_KIND_MEMSET",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
}
TABLES_READ = {"operations", *TABLES}  # of a recording, of an export
LARGEST = 2**50  # ns: beyond it, whether a time can be true is for the reader to judge

Active = list[int]  # ns of each device, sorted


def union(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many nanoseconds some spans cover."""
    total, reached = 0, None
    for start, end in sorted(spans):
        if reached is None or start > reached:
            total, reached = total + end - start, end
        elif end > reached:
            total, reached = total + end - reached, end
    return total


def of_kineto(text: bytes) -> Active | None:
    """Return the active time of each device of a sound Kineto file of one process."""
    try:
        document = json.loads(text, parse_float=Decimal)
        events = document if isinstance(document, list) else document["traceEvents"]
        devices: dict[Any, set[tuple[int, int]]] = {}
        for event in events:
            if event.get("ph") != "X" or event.get("cat") not in OPERATIONS:
                continue
            start, length = event["ts"], event["dur"]
            arguments = event["args"]
            track = (
                event["pid"],
                arguments["device"],
                arguments["stream"],
                arguments["correlation"],
            )
            plain = all(type(value) is int and 0 <= value < 2**31 for value in track)
            if not plain or not all(
                type(value) in (int, Decimal) for value in (start, length)
            ):
                return None
            start_ns, length_ns = start * 1000, length * 1000
            if not all(abs(value) < LARGEST for value in (start_ns, length_ns)):
                return None  # before int() is called: 1e999990 has a million digits
            if (
                start_ns != int(start_ns)
                or length_ns != int(length_ns)
                or not 0 <= start_ns < LARGEST
                or not 0 <= length_ns < 10**9
            ):
                return None
            devices.setdefault(arguments["device"], set()).add(
                (int(start_ns), int(start_ns + length_ns))
            )
        return sorted(map(union, devices.values()))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        ArithmeticError,
    ):
        return None


def of_sqlite(path: Path) -> Active | None:
    """Return the active time of each device of a sound SQLite export."""
    devices: dict[Any, list[tuple[int, int]]] = {}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            steps = [0]
            database.set_progress_handler(
                lambda: steps.append(0) or len(steps) > 50, 10_000
            )
            kinds = dict(database.execute("SELECT name, type FROM sqlite_master"))
            for table in sorted(TABLES & kinds.keys()):
                if kinds[table] != "table":
                    continue
                rows = f"SELECT start, end, deviceId, globalPid FROM {table}"  # noqa: S608
                for row in database.execute(rows):
                    start, end, *_ = row
                    if (
                        not all(isinstance(value, int) for value in row)
                        or not 0 < start <= end < LARGEST
                    ):
                        return None
                    devices.setdefault(row[2:], []).append((start, end))
    except (sqlite3.Error, ValueError, TypeError):
        return None
    return sorted(map(union, devices.values()))


def of_tables(tables: dict[str, dict[str, list[Any]]]) -> Active | None:
    """Return the active time of each device of columns as a recording or an export has them."""
    devices: dict[Any, list[tuple[int, int]]] = {}
    for table, columns in tables.items():
        names = (
            ("start", "end", "device")
            if table == "operations"
            else ("start", "end", "deviceId", "globalPid")
        )
        if table != "operations" and table not in TABLES:
            continue
        if not set(names) <= columns.keys():
            return None
        for start, end, *device in zip(*(columns[name] for name in names), strict=True):
            values = (start, end, *device)
            if (
                not all(type(value) is int for value in values)
                or not 0 <= start <= end < LARGEST
                or not any((start, end))
            ):
                return None
            devices.setdefault(tuple(device), []).append((start, end))
    return sorted(map(union, devices.values()))
