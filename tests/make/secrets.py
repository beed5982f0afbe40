"""Traces with secrets planted wherever they may stand, to see that scrubbing tells none."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing

import idlescope
from idlescope.export.nsys import writer as nsys_writer
from idlescope.trace.model import OperationKind, RangeKind
from tests.make.kineto_files import call, operation, span
from tests.make.traces import numbers, trace

# A user, a host and a project that must be nowhere in a scrubbed file.
SECRETS = (b"zoltan", b"hostname17", b"manhattan", b"672a921d")


HOME = "/home/zoltan/manhattan"


UUID = "GPU-672a921d-c216-dbaa-78b2-9b40581e7f00"


def all_bytes(path):
    """All bytes of a file or folder, unpacked: of Parquet, the cells too."""
    from pyarrow import parquet

    if path.is_dir():
        return b"".join(p.name.encode() + all_bytes(p) for p in path.iterdir())
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        return data[:20] + gzip.decompress(data)
    if path.suffix == ".parquet":
        return data + repr(parquet.read_table(path).to_pydict()).encode()
    return data


def tells_nothing(path):
    found = [secret for secret in SECRETS if secret in all_bytes(path).lower()]
    assert not found


def figures(path):
    return numbers(idlescope.analyze(idlescope.open(path)))


def kineto_events():
    frame = span(1_000, 8_000, f"{HOME}/train.py(12): step", "python_function")
    twin = span(8_000, 39_000, "/srv/manhattan/train.py(12): step", "python_function")
    operator = span(1_500, 1_900, "aten::copy_", "cpu_op")
    operator["args"] = {
        "Call stack": f"{HOME}/train.py(12): step;"
        "/opt/lib/python3.11/site-packages/torch/x.py(3): f",
        "Concrete Inputs": [f"{HOME}/data.bin", "hostname17"],
        "Input Dims": [[2, 3], []],
        "hostname17": 1,
        "Input type": ["float", ""],
        "nested": {"user": "zoltan"},
    }
    odd = operation(61_000, 62_000, name="k2", correlation=9)
    odd["args"]["stream"] = "0x7f12"
    odd["owner"] = "zoltan"
    return [
        {
            "ph": "M",
            "name": "process_name",
            "pid": 50,
            "tid": 0,
            "ts": 0,
            "args": {"name": "python zoltan.py"},
        },
        {
            "ph": "M",
            "name": "process_labels",
            "pid": 50,
            "tid": 0,
            "ts": 0,
            "args": {"labels": "hostname17"},
        },
        {
            "ph": "M",
            "name": "process_labels",
            "pid": 0,
            "tid": 0,
            "ts": 0,
            "args": {"labels": "GPU 0"},
        },
        {
            "ph": "M",
            "name": "thread_name",
            "pid": 50,
            "tid": 100,
            "ts": 0,
            "args": {"name": f"thread {HOME}/run.py"},
        },
        {"ph": "i", "s": "g", "name": "Record Window End", "pid": "", "tid": "", "ts": 0.5},
        {
            "ph": "X",
            "cat": "Trace",
            "name": "PyTorch Profiler (0)",
            "pid": "Spans",
            "tid": "zoltan",
            "ts": 0,
            "dur": 9,
        },
        {
            "ph": "X",
            "cat": "shell",
            "name": "ssh zoltan@hostname17",
            "pid": 50,
            "tid": 100,
            "ts": 1,
            "dur": 2,
        },
        {"ph": "Q", "name": "zoltan", "pid": 50, "tid": 100, "ts": 1},
        frame,
        twin,
        operator,
        call(2_000, 3_000, 1),
        operation(5_000, 10_000, correlation=1),
        {
            "ph": "s",
            "cat": "ac2g",
            "name": "ac2g",
            "id": 1,
            "pid": 50,
            "tid": 100,
            "ts": 2.0,
        },
        {
            "ph": "f",
            "bp": "e",
            "cat": "ac2g",
            "name": "ac2g",
            "id": "zoltan-1",
            "pid": 0,
            "tid": 7,
            "ts": 5.0,
        },
        call(40_000, 41_000, 9),
        odd,
    ]


def kineto_metadata():
    return {
        "traceName": f"{HOME}/trace.json",
        "hostname": "hostname17",
        "displayTimeUnit": "ms",
        "with_stack": 1,
        "baseTimeNanoseconds": 1_790_857_026_000_000_000,
        "trace_id": "zoltan",
        "cuda_driver_version": "13.0",
        "WARNING": [
            f"{HOME}/libkineto.cpp:3] CUPTI dropped 2 records",
            "started by zoltan",
        ],
        "distributedInfo": {
            "backend": "nccl",
            "rank": 3,
            "world_size": 4,
            "pg_config": [{"pg_desc": "zoltan's"}],
        },
        "deviceProperties": [
            {"id": 0, "name": "Test GPU", "uuid": UUID, "host": "hostname17", "numSms": 132}
        ],
    }


PLANTED = f"""
CREATE TABLE META_DATA_CAPTURE (name TEXT, value TEXT);
INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:ENVIRONMENT_VARIABLE', 'USER="zoltan"');
CREATE TABLE TARGET_INFO_SYSTEM_ENV (globalVid INTEGER, name TEXT, value TEXT);
INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'Hostname', 'hostname17');
CREATE TABLE ANALYSIS_FILE (id INTEGER, filename TEXT, contentId INTEGER);
INSERT INTO ANALYSIS_FILE VALUES (0, '{HOME}/stdout.log', 900);
CREATE TABLE ProcessStreams (globalPid INTEGER, filenameId INTEGER, contentId INTEGER);
INSERT INTO ProcessStreams VALUES (1, 901, 900);
CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER, utcTime TEXT);
INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1, 'hostname17');
CREATE TABLE zoltans_own (a TEXT);
INSERT INTO zoltans_own VALUES ('manhattan');
INSERT INTO StringIds VALUES (900, 'output of zoltan'), (901, '/home/zoltan/x');
INSERT INTO StringIds VALUES (902, 'bash zoltan');
INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_HOST', 'hostname17'), ('EXPORT_USER', 'zoltan');
UPDATE PROCESSES SET name = 'python zoltan.py';
INSERT INTO PROCESSES VALUES (99, 7, 'sshd: zoltan');
INSERT INTO ThreadNames VALUES (902, 20, 281474993487873);
UPDATE TARGET_INFO_GPU SET uuid = '{UUID}';
UPDATE TARGET_INFO_CUDA_DEVICE SET uuid = '{UUID.removeprefix("GPU-")}';
ALTER TABLE TARGET_INFO_GPU ADD COLUMN ctrlDevPath TEXT DEFAULT 'zoltan';
ALTER TABLE NVTX_EVENTS ADD COLUMN jsonText TEXT DEFAULT 'zoltan';
ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN gridX INTEGER DEFAULT 'zoltan';
UPDATE NVTX_EVENTS SET text = '{HOME}/train.py', textId = NULL WHERE start = 0;
UPDATE StringIds SET value = '{HOME}/kernel.cu' WHERE value = 'k';
CREATE TABLE DIAGNOSTIC_EVENT (timestamp INTEGER, severity INTEGER, text TEXT);
INSERT INTO DIAGNOSTIC_EVENT VALUES (1, 2, 'CUPTI dropped 5 records, see {HOME}/log');
INSERT INTO DIAGNOSTIC_EVENT VALUES (1, 0, 'zoltan');
CREATE TABLE freed (a TEXT);
"""  # noqa: S608


def nsight_export(path):
    """An export with secrets in every table that may hold them, in unused text and freed pages."""
    made = trace(
        [
            (10, 20, OperationKind.KERNEL, 0, 0, 0, 5, -1, 0, 0.0),
            (30, 40, OperationKind.MEMCPY, 1, 1, 1, 5, -1, 8, 0.0),
        ],
        [(1, 2, 0, 1, 5), (25, 26, 2, 1, 5)],
        [
            (0, 9, 0, 0, int(RangeKind.ANNOTATION), -1),
            (20, 27, 2, 0, int(RangeKind.ANNOTATION), -1),
        ],
        processes=("100", "200"),
    )
    nsys_writer.write(made, path)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(PLANTED)
        database.executemany(
            "INSERT INTO freed VALUES (?)", [("zoltan on hostname17 " * 50,)] * 200
        )
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("DROP TABLE freed")
    return path


def parquet_export(sqlite, folder):
    """The same export as a folder of Parquet files, ids unsigned and with what pandas adds."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    with closing(sqlite3.connect(sqlite)) as database:
        for (table,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            cursor = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            names = [d[0] for d in cursor.description]
            columns = dict(
                zip(names, map(list, zip(*cursor.fetchall(), strict=True)), strict=True)
            )
            columns.pop("gridX", None)  # of mixed type, which Parquet has not
            arrays = {
                c: pa.array(v, pa.uint64() if c.startswith("global") else None)
                for c, v in columns.items()
            }
            made = pa.table(arrays).replace_schema_metadata({"pandas": "zoltan"})
            parquet.write_table(made, folder / f"{table}.parquet")
    (folder / "notes of zoltan.txt").write_text("hostname17")
    return folder
