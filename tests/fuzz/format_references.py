"""What files of other profilers hold, by slow programs that share no line with idlescope's readers.

As in `reference`, they return how long each device was active; None where they cannot tell.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.fuzz.reference import LARGEST, Active, union
from tests.make.known_work import BASE
from tests.make.rocprof_files import UUID

NEAR = (
    10**12
)  # ns around the time of the seeds: beyond, whether a time can be true is for the reader
PLAIN = 2**31

# of (start, end, device) of each operation
Rows = Iterable[tuple[Any, Any, Any]]


def active(rows: Rows, around: int = BASE) -> Active | None:
    """Return the active time of each device; None where a value is odd."""
    devices: dict[Any, list[tuple[int, int]]] = {}
    for start, end, device in rows:
        if not all(type(value) is int for value in (start, end, device)):
            return None
        if not (around - NEAR < start <= end < around + NEAR and 0 <= device < PLAIN):
            return None
        devices.setdefault(device, []).append((start, end))
    return sorted(map(union, devices.values()))


def of_database(path: Path, query: str, tables: set[str]) -> Active | None:
    """Return what a query over stored tables finds."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            steps = [0]
            database.set_progress_handler(
                lambda: steps.append(0) or len(steps) > 50, 10_000
            )
            kinds = dict(database.execute("SELECT name, type FROM sqlite_master"))
            if any(kinds.get(table) != "table" for table in tables):
                return None
            return active(database.execute(query).fetchall())
    except (sqlite3.Error, ValueError, TypeError):
        return None


def of_rpd(path: Path) -> Active | None:
    """Return the active time of each GPU of an RPD file of one process."""
    query = (
        "SELECT start, end, gpuId FROM rocpd_op JOIN rocpd_string t ON t.id = opType_id "
        "WHERE t.string NOT LIKE '%barrier%' AND t.string NOT LIKE '%marker%'"
    )
    rows = "SELECT count(*), count(DISTINCT id) FROM rocpd_op"
    tables = {"rocpd_op", "rocpd_string", "rocpd_api", "rocpd_api_ops"}
    plain = "SELECT DISTINCT pid, pid, 0 FROM rocpd_api"
    if not _is_one_row(path, plain) or not _has_all_types(path, rows):
        return None
    return of_database(path, query, tables)


def _is_one_row(path: Path, query: str) -> bool:
    """Return whether a query finds exactly one row."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return len(database.execute(query).fetchmany(2)) == 1
    except (sqlite3.Error, ValueError):
        return False


def _has_all_types(path: Path, query: str) -> bool:
    """Return whether every operation has a type."""
    joined = "SELECT count(*) FROM rocpd_op JOIN rocpd_string t ON t.id = opType_id"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            (total, _), (typed,) = (
                database.execute(query).fetchone(),
                database.execute(joined).fetchone(),
            )
            return bool(total == typed)
    except (sqlite3.Error, ValueError):
        return False


def of_rocpd(path: Path) -> Active | None:
    """Return the active time of each GPU of a rocpd database of version 3 and one process."""
    kernels, copies, agents = (
        f"`rocpd_{table}{UUID}`"
        for table in ("kernel_dispatch", "memory_copy", "info_agent")
    )
    query = (
        f"SELECT start, end, type_index FROM {kernels} k JOIN {agents} a ON a.id = k.agent_id AND a.type = 'GPU' "  # noqa: S608
        f"UNION ALL SELECT start, end, type_index FROM {copies} c JOIN {agents} a "
        "ON a.id IN (c.dst_agent_id, c.src_agent_id) AND a.type = 'GPU'"
    )
    counted = f"SELECT DISTINCT (SELECT count(*) FROM {kernels}) + (SELECT count(*) FROM {copies}) = (SELECT count(*) FROM ({query})), 0, 0 WHERE 1"  # noqa: S608
    pids = f"SELECT pid FROM {kernels} UNION SELECT pid FROM {copies}"  # noqa: S608
    if not _is_one_row(path, pids) or not _is_true(path, counted):
        return None
    tables = {
        f"rocpd_{table}{UUID}" for table in ("kernel_dispatch", "memory_copy", "info_agent")
    }
    return of_database(path, query, tables)


def _is_true(path: Path, query: str) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute(query).fetchone()[0])
    except (sqlite3.Error, ValueError):
        return False


def of_rocprof_json(path: Path) -> Active | None:
    """Return the active time of each GPU of rocprofv3's JSON of one process."""
    try:
        (process,) = json.loads(path.read_bytes())["rocprofiler-sdk-tool"]
        gpus = {
            agent["id"]["handle"]: agent["logical_node_type_id"]
            for agent in process["agents"]
            if agent["type"] == 2
        }
        records = process["buffer_records"]
        rows = [
            (
                kernel["start_timestamp"],
                kernel["end_timestamp"],
                gpus[kernel["dispatch_info"]["agent_id"]["handle"]],
            )
            for kernel in records["kernel_dispatch"]
        ]
        for copy in records["memory_copy"]:
            sides = [copy["dst_agent_id"]["handle"], copy["src_agent_id"]["handle"]]
            (gpu,) = [gpus[side] for side in sides if side in gpus]
            rows.append((copy["start_timestamp"], copy["end_timestamp"], gpu))
        return active(rows)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def of_xla_json(path: Path) -> Active | None:
    """Return the active time of each GPU of XLA's JSON."""
    try:
        events = json.loads(path.read_bytes(), parse_float=Decimal)["traceEvents"]
        names = {
            (event["name"], event["pid"], event.get("tid")): event["args"]["name"]
            for event in events
            if event.get("ph") == "M"
        }
        rows = []
        for event in events:
            if event.get("ph") != "X":
                continue
            plane = names.get(("process_name", event["pid"], None), "")
            line = names.get(("thread_name", event["pid"], event["tid"]), "")
            if type(event["pid"]) is not int or type(event["tid"]) is not int:
                return None
            times = [event["ts"] * 1000, event["dur"] * 1000]
            if (
                not all(abs(time) < LARGEST for time in times)
                or any(time != int(time) for time in times)
                or not all(isinstance(one, str) for one in (plane, line))
                or _is_odd(events)
            ):
                return None
            device = re.fullmatch(r"/device:GPU:(\d{1,9})", plane, re.ASCII)
            if device and line.startswith("Stream ") and not line.startswith("Stream #"):
                return (
                    None  # of a damaged line's name; what it still tells is for the reader
                )
            if device and line.startswith("Stream #"):
                start, length = map(int, times)
                rows.append((start, start + length, int(device[1])))
        return active(rows, 1_000_000_000)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        ArithmeticError,
    ):
        return None


def _is_odd(events: list[dict[str, Any]]) -> bool:
    """Return whether a process or thread is called True, which is 1 to a dictionary."""
    return any(
        isinstance(event.get(key), bool) for event in events for key in ("pid", "tid")
    )


def of_ascend(path: Path) -> Active | None:
    """Return the active time of each NPU of a trace of Ascend's profiler."""
    try:
        events = json.loads(path.read_bytes(), parse_float=Decimal)
        names: dict[Any, str] = {}
        numbers: dict[Any, int] = {}
        for event in events:
            if event.get("ph") == "M" and event["name"] == "process_name":
                names[event["pid"]] = event["args"]["name"]
            if event.get("ph") == "M" and event["name"] == "process_labels":
                numbers[event["pid"]] = int(event["args"]["labels"].split()[-1])
        rows = []
        for event in events:
            if event.get("ph") != "X" or names.get(event.get("pid")) != "Ascend Hardware":
                continue
            if (
                event["args"]["Task Type"] not in ("AI_CORE", "MEMCPY_ASYNC")
                or type(event["ts"]) is not str
            ):
                return None
            start, length = Decimal(event["ts"]) * 1000, event["dur"] * 1000
            if not all(abs(value) < LARGEST for value in (start, length)):
                return None
            if start != int(start) or length != int(length):
                return None
            rows.append((int(start), int(start) + int(length), numbers[event["pid"]]))
        return active(rows)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        ArithmeticError,
        IndexError,
    ):
        return None
