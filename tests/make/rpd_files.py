"""Make RPD files (rocmProfileData, SQLite) of known content, in the tables that its tracer writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.make.known_work import ANNOTATION, COPY, KERNEL, TO_HOST, Known, Work

# rocpd_python/rocpd/schema_data/tableSchema.cmd, without what no reader looks at
TABLES = (
    'CREATE TABLE "rocpd_string" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "string" varchar(4096) NOT NULL)',
    'CREATE TABLE "rocpd_op" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "gpuId" integer NOT NULL, "queueId" integer NOT NULL, "sequenceId" integer NOT NULL, "completionSignal" varchar(18) NOT NULL, "start" integer NOT NULL, "end" integer NOT NULL, "description_id" integer NOT NULL, "opType_id" integer NOT NULL)',
    'CREATE TABLE "rocpd_api" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "pid" integer NOT NULL, "tid" integer NOT NULL, "start" integer NOT NULL, "end" integer NOT NULL, "apiName_id" integer NOT NULL, "args_id" integer NOT NULL)',
    'CREATE TABLE "rocpd_api_ops" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "api_id" integer NOT NULL, "op_id" integer NOT NULL)',
    'CREATE TABLE "rocpd_copyapi" ("api_ptr_id" integer NOT NULL PRIMARY KEY, "stream" varchar(18) NOT NULL, "size" integer NOT NULL, "kind" integer NOT NULL)',
    'CREATE TABLE "rocpd_metadata" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "tag" varchar(4096) NOT NULL, "value" varchar(4096) NOT NULL)',
    "CREATE VIEW op AS SELECT rocpd_op.id, start, end FROM rocpd_op",
)
FIRST_ID = 1 << 32  # the tracer numbers from here on


def write(path: Path, known: Known, pid: int = 1560) -> Path:
    """Write what a process did as an RPD file."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in TABLES:
            database.execute(statement)
        add(database, known, pid)
    return path


def add(database: sqlite3.Connection, known: Known, pid: int) -> None:
    """Add what one process did to an RPD file."""
    strings = dict(database.execute("SELECT string, id FROM rocpd_string"))

    def text(string: str) -> int:
        if string not in strings:
            strings[string] = len(strings) + 1
            database.execute(
                "INSERT INTO rocpd_string VALUES (?, ?)", (strings[string], string)
            )
        return strings[string]

    (earlier,) = database.execute("SELECT coalesce(max(id), 0) FROM rocpd_api").fetchone()
    first = max(FIRST_ID, earlier + 1)
    for call in known.calls:
        row = (
            first + call.launch,
            pid,
            call.thread,
            call.start,
            call.end,
            text(call.name),
            text(""),
        )
        database.execute("INSERT INTO rocpd_api VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for number, span in enumerate(known.spans):
        name = (
            span.name
            if span.kind == ANNOTATION
            else f"{span.name}, seq = 3, op_id = {number}"
        )
        row = (
            first + 10**6 + number,
            pid,
            span.thread,
            span.start,
            span.end,
            text("UserMarker"),
            text(name),
        )
        database.execute("INSERT INTO rocpd_api VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for work in known.work:
        is_kernel = work.kind == KERNEL
        row = (
            work.device,
            work.stream,
            0,
            "",
            work.start,
            work.end,
            text(work.name if is_kernel else ""),
            text(_type(work)),
        )
        operation = database.execute(
            "INSERT INTO rocpd_op (gpuId, queueId, sequenceId, completionSignal, start, end, description_id, opType_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        if work.launch:
            link = (first + work.launch, operation)
            database.execute(
                "INSERT INTO rocpd_api_ops (api_id, op_id) VALUES (?, ?)", link
            )
        if work.kind == COPY:
            copy = (first + work.launch, "0x0", work.bytes, 2)
            database.execute("INSERT INTO rocpd_copyapi VALUES (?, ?, ?, ?)", copy)


def _type(work: Work) -> str:
    if work.kind == KERNEL:
        return "KernelExecution"
    if work.kind == COPY:
        return "CopyDeviceToHost" if work.name == TO_HOST else "CopyHostToDevice"
    return "FillBuffer"
