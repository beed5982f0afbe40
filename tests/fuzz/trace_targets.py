"""Readers of traces: what is accepted without a word must have the figures of the reference."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from idlescope.analysis.analyze import analyze
from idlescope.export.perfetto import writer
from idlescope.report.text import to_text
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files as recordings
from tests.fuzz import mutate, reference
from tests.fuzz.cases import ONLY_FILE, Files, Target, WrongFiguresError
from tests.fuzz.reference import Active
from tests.make.kineto_files import call, document, operation, span
from tests.trace.nsys.small_export import small

Tables = dict[str, dict[str, list[Any]]]


def read(path: Path, expected: Callable[[Path], Active | None]) -> None:
    """Read and analyse a trace; raise WrongFiguresError where it is taken for sound and its figures are not."""
    trace = open_trace(path)
    analysis = analyze(trace)
    to_text(analysis.to_json())
    if trace.meta.lost or trace.meta.truncated or trace.meta.warnings or trace.meta.dropped:
        return
    active = expected(path)
    if active is None:
        return
    found = sorted(result.occupancy.active_ns for result in analysis.results)
    if [ns for ns in found if ns] != [ns for ns in active if ns]:
        raise WrongFiguresError(f"active {found}, not {active}")


@cache
def kineto_document() -> dict[str, Any]:
    """Return three steps of two operations with their launches, spans, frames and metadata."""
    events: list[dict[str, Any]] = []
    for step in range(3):
        start, ids = 1_000_000 + step * 100_000, 2 * step + 1
        events += [
            span(start, start + 90_000, f"ProfilerStep#{step}"),
            span(start + 1_000, start + 9_000, "schedule"),
            span(start + 2_000, start + 3_000, "aten::add", "cpu_op"),
            span(start, start + 90_000, "loop.py(3): run", "python_function"),
            call(start + 10_000, start + 12_000, ids),
            call(start + 13_000, start + 15_000, ids + 1, "cudaMemcpyAsync"),
            call(start + 16_000, start + 80_000, 0, "cudaStreamSynchronize"),
            operation(start + 14_000, start + 60_000, correlation=ids),
            operation(
                start + 61_000, start + 79_000, "memcpy", correlation=ids + 1, stream=9
            ),
        ]
    name = {
        "ph": "M",
        "name": "thread_name",
        "pid": 50,
        "tid": 100,
        "args": {"name": "thread 100 (python)"},
    }
    counter = {"ph": "C", "name": "requests", "pid": 50, "ts": 1000.5, "args": {"value": 3}}
    properties = [{"id": 0, "name": "NVIDIA H100 80GB HBM3", "uuid": "GPU-1"}]
    return document(
        [*events, name, counter], deviceProperties=properties, baseTimeNanoseconds=1_700_000_000 * 10**9,
        distributedInfo={"rank": 0, "world_size": 2, "backend": "nccl"}, schemaVersion=1,
    )  # fmt: skip


@cache
def own_document() -> dict[str, Any]:
    """Return the same trace as idlescope writes it for Perfetto."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.json", Path(folder) / "b.json"
        source.write_bytes(mutate.encoded(kineto_document()))
        trace = open_trace(source)
        writer.write(trace, target, analyze(trace).results)
        found: dict[str, Any] = json.loads(target.read_bytes())
        return found


def kineto(random: Random) -> Files:
    """Return a Kineto file: values changed, or bytes of it."""
    if random.random() < 0.3:
        return {ONLY_FILE: mutate.of_bytes(mutate.encoded(kineto_document()), random)}
    return {ONLY_FILE: mutate.encoded(mutate.of_json(kineto_document(), random))}


def own(random: Random) -> Files:
    """Return a file that idlescope wrote, changed."""
    return {ONLY_FILE: mutate.encoded(mutate.of_json(own_document(), random))}


def packed(random: Random) -> Files:
    """Return gzip data of several members, changed."""
    text = mutate.encoded(kineto_document())
    middle = random.randrange(len(text))
    members = [gzip.compress(part, mtime=0) for part in (text[:middle], text[middle:])]
    return {ONLY_FILE: mutate.of_bytes(b"".join(members), random)}


def _kineto_reference(path: Path) -> Active | None:
    return reference.of_kineto(path.read_bytes())


def _packed_reference(path: Path) -> Active | None:
    try:
        return reference.of_kineto(gzip.decompress(path.read_bytes()))
    except Exception:
        return None


@cache
def export() -> bytes:
    """Return a small SQLite export."""
    with tempfile.TemporaryDirectory() as folder:
        return small().sqlite(Path(folder) / "e.sqlite").read_bytes()


def sqlite(random: Random) -> Files:
    """Return an SQLite export, changed."""
    return mutated_database(export(), random)


def mutated_database(content: bytes, random: Random) -> Files:
    """Return an SQLite file: bytes changed, or values, types, tables for views."""
    if random.random() < 0.5:
        return {ONLY_FILE: mutate.of_bytes(content, random)}
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(content) if hasattr(database, "deserialize") else None
        for _ in range(random.randint(1, 3)):
            _change(database, random)
        database.commit()
        return {ONLY_FILE: database.serialize()}


def _change(database: sqlite3.Connection, random: Random) -> None:
    tables = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
    ]
    table = random.choice(tables)
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    column = random.choice(columns)
    value = random.choice((*mutate.NUMBERS, *mutate.TEXTS, None, b"\xff\x00"))
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = str(value)
    change = random.randrange(7)
    try:
        if change < 4:
            rows = "1" if change == 0 else f"rowid = {random.randint(1, 8)}"
            database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE {rows}', (value,))  # noqa: S608
        elif change == 4:
            database.execute(
                f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "{random.choice(["rowid", "x", "end"])}"'
            )
        elif change == 5:
            database.execute(f'DROP TABLE "{table}"')
        else:
            database.execute(f'ALTER TABLE "{table}" RENAME TO "{table}_"')
            database.execute(f'CREATE VIEW "{table}" AS SELECT * FROM "{table}_"')  # noqa: S608
    except (sqlite3.Error, UnicodeEncodeError):
        pass


def _parquet_file(columns: dict[str, list[Any]]) -> bytes:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError):
            arrays[name] = pa.array(
                [str(value).encode("utf-8", "replace") for value in values]
            )
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def _changed(tables: Tables, random: Random) -> Tables:
    changed = {table: dict(columns) for table, columns in tables.items()}
    for _ in range(random.randint(1, 3)):
        columns = changed[random.choice(list(changed))]
        if not columns:
            continue
        name = random.choice(list(columns))
        change = random.randrange(6)
        if change == 0:
            del columns[name]
        elif change == 1:
            columns[name] = [[value] for value in columns[name]]
        else:
            columns[name] = mutate.of_column(columns[name], random)
    return changed


def _tables(files: dict[str, bytes]) -> Tables:
    return {
        name.removesuffix(".parquet"): parquet.read_table(io.BytesIO(content)).to_pydict()
        for name, content in files.items()
        if name.endswith(".parquet")
    }


@cache
def parquet_export() -> dict[str, bytes]:
    """Return the files of a small Parquet export."""
    with tempfile.TemporaryDirectory() as folder:
        path = small().parquet(Path(folder) / "e")
        return {file.name: file.read_bytes() for file in path.iterdir()}


@cache
def recording() -> dict[str, bytes]:
    """Return the files of a small recording."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.json"
        source.write_bytes(mutate.encoded(kineto_document()))
        recordings.write(open_trace(source), Path(folder) / "r")
        return {file.name: file.read_bytes() for file in (Path(folder) / "r").iterdir()}


@cache
def parquet_tables() -> Tables:
    """Return the tables of a small Parquet export, which are not to be changed."""
    return _tables(parquet_export())


@cache
def recording_tables() -> Tables:
    """Return the tables of a small recording, which are not to be changed."""
    return _tables(recording())


def _mutated_folder(files: dict[str, bytes], tables: Tables, random: Random) -> Files:
    """Return a folder of Parquet files: bytes of one changed, or columns, or the document beside them."""
    kind = random.random()
    if kind < 0.2:
        name = random.choice(sorted(files))
        return {**files, name: mutate.of_bytes(files[name], random)}
    if kind < 0.5 and "meta.json" in files:
        meta = mutate.of_json(json.loads(files["meta.json"]), random)
        return {**files, "meta.json": mutate.encoded(meta)}
    after = _changed(tables, random)
    changed = {
        f"{table}.parquet": _parquet_file(columns)
        for table, columns in after.items()
        if columns != tables[table]
    }
    return {**files, **changed}


def _folder_reference(path: Path) -> Active | None:
    try:
        tables = {
            file.stem: parquet.read_table(file).to_pydict()
            for file in path.glob("*.parquet")
            if file.stem in reference.TABLES_READ
        }
    except Exception:
        return None
    return reference.of_tables(tables)


def ranks(random: Random) -> Files:
    """Return a folder of two ranks, one or both of them changed."""
    changed = [mutate.of_json(kineto_document(), random) for _ in range(2)]
    both = random.random() < 0.5
    return {
        "rank0.json": mutate.encoded(changed[0]),
        "rank1.json": mutate.encoded(changed[1] if both else kineto_document()),
    }


TARGETS = (
    Target("kineto", ".json", kineto, lambda path: read(path, _kineto_reference)),
    Target("own", ".json", own, lambda path: read(path, lambda _: None)),
    Target("gzip", ".json.gz", packed, lambda path: read(path, _packed_reference)),
    Target("ranks", "", ranks, lambda path: read(path, lambda _: None)),
    Target("sqlite", ".sqlite", sqlite, lambda path: read(path, reference.of_sqlite)),
    Target(
        "parquet", "", lambda random: _mutated_folder(parquet_export(), parquet_tables(), random), lambda path: read(path, _folder_reference)
    ),
    Target(
        "recording", ".recording", lambda random: _mutated_folder(recording(), recording_tables(), random),
        lambda path: read(path, _folder_reference),
    ),
)  # fmt: skip
