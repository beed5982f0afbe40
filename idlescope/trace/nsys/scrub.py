"""Scrub a Nsight Systems export: of known tables, known columns are copied.

Environment, command lines, host names, captured output and lists of processes stand in tables of
their own and in StringIds. The copy is built anew, so that no freed page holds them either; of
StringIds it has only what the copied columns refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from idlescope.trace.damage import LOSS, Damage
from idlescope.trace.nsys import scrub_tables as known
from idlescope.trace.nsys.columns import PROCESS_BITS, pid_of, unsigned
from idlescope.trace.nsys.files import open_tables
from idlescope.trace.nsys.ranges import OPERATOR
from idlescope.trace.nsys.reader import SCHEMA_TABLES
from idlescope.trace.nsys.sinks import ParquetSink, Rows, Sink, SqliteSink
from idlescope.trace.nsys.tables import NULL, Tables
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import loss
from idlescope.trace.scrub.texts import Texts
from idlescope.trace.whole_files import new_database

# columns of the tables that are copied row by row, with the types of their values
ENUMERATION = {"id": int, "name": str, "label": str}
DIAGNOSTIC = {"timestamp": int, "timestampType": int, "source": int, "severity": int, "text": str}
THREAD_NAME = {"nameId": int, "priority": int, "globalTid": int}

Progress = Callable[[int], None]


def scrub(source: Path, target: Path, result: Scrubbed, progress: Progress | None = None) -> None:
    """Write the export anew: a folder of Parquet files where it is one, else an SQLite file.

    `result` counts what was removed; `progress` is called with the number of rows copied so far.
    Raises TraceError where the export cannot be read, OSError where the copy cannot be written.
    """
    with open_tables(source) as tables:
        if source.is_dir():
            target.mkdir()
            _Copy(tables, ParquetSink(target), result, progress).run()
            return
        with new_database(target) as database:
            _Copy(tables, SqliteSink(database), result, progress).run()


class _Copy:
    """One copy in the making, with the strings and threads that its rows refer to."""

    def __init__(
        self, tables: Tables, sink: Sink, result: Scrubbed, progress: Progress | None
    ) -> None:
        self.tables = tables
        self.sink = sink
        self.result = result
        self.progress = progress
        self.texts = Texts(result)
        self.names: set[str] = set()
        self.string_ids: set[int] = set()
        self.global_ids: set[int] = set()  # of threads and processes
        self.copied_rows = 0

    def run(self) -> None:
        """Copy all that may be copied, and count the rest."""
        for table, columns in known.NUMBERS.items():
            self._copy_numbers(table, columns)
        for table, columns in known.FACTS.items():
            self._copy_facts(table, columns)
        for table in known.ENUMERATIONS:
            self._write(table, ENUMERATION, self.tables.rows(table, list(ENUMERATION)))
        for table in SCHEMA_TABLES:
            self._copy_schema(table)
        self._copy_losses()
        self._copy_thread_names()
        self._copy_processes()
        copied_strings = self._copy_strings()
        self._count_rest(copied_strings)
        self.result.names += len(self.names)

    def _copy_numbers(self, table: str, wanted: tuple[str, ...]) -> None:
        """Copy the wanted columns of a table of numbers, and a column of text beside them."""
        present = [column for column in wanted if column in self.tables.columns(table)]
        if not present:
            return
        columns = self.tables.integers(table, dict.fromkeys(present, NULL), Damage())
        row_count = len(columns[present[0]])
        texts: dict[str, list[str | None]] = {}
        text_column = known.TEXTS.get(table, "")
        if text_column in self.tables.columns(table):
            texts[text_column] = self._text_column(table, text_column)
        for column in present:
            if column in known.STRINGS:
                self.string_ids.update(np.unique(columns[column]).tolist())
            elif column in known.GLOBAL_IDS:
                self.global_ids.update(np.unique(columns[column]).tolist())
        if row_count:
            self.sink.numbers(table, columns, texts)
        self.copied_rows += row_count
        if self.progress is not None:
            self.progress(self.copied_rows)

    def _text_column(self, table: str, column: str) -> list[str | None]:
        codes, names = self.tables.texts(table, column, self._cleaned_name)
        # the last stands for NULL, whose code is -1
        choices: list[str | None] = [*names, None]
        return [choices[code] for code in codes.tolist()]

    def _cleaned_name(self, text: str) -> str:
        name = self.texts.name(text)
        # as readers count names: without the ids of single operators
        self.names.add(OPERATOR.split(name, maxsplit=1)[0])
        return name

    def _copy_facts(self, table: str, wanted: tuple[str, ...]) -> None:
        present = [column for column in wanted if column in self.tables.columns(table)]
        types = {column: str if column in known.FACT_TEXTS else int for column in present}
        self._write(table, types, self.tables.rows(table, present))

    def _copy_schema(self, table: str) -> None:
        """Copy which version of the schema the export has."""
        facts = self.tables.rows(table, ["name", "value"])
        kept = []
        for name, value in facts:
            if name in known.EXPORT_FACTS:
                kept.append((name, self.texts.text(str(value))))
        removed = len(facts) - len(kept)
        self.result.remove("users, hosts, files and times of the export", removed)
        self._write(table, {"name": str, "value": str}, kept)

    def _copy_losses(self) -> None:
        """Copy that records were lost, in words of our own."""
        messages = self.tables.rows("DIAGNOSTIC_EVENT", list(DIAGNOSTIC))
        losses = []
        for *columns, text in messages:
            if isinstance(text, str) and LOSS.search(text):
                losses.append((*columns, loss(text)))
        self.result.remove("messages of the profiler", len(messages) - len(losses))
        self._write("DIAGNOSTIC_EVENT", DIAGNOSTIC, losses)

    def _copy_thread_names(self) -> None:
        """Copy the names of the threads that have records."""
        threads = {unsigned(global_id) for global_id in self.global_ids - {NULL}}
        rows = self.tables.rows("ThreadNames", list(THREAD_NAME))
        kept = []
        for name_id, priority, thread in rows:
            if isinstance(thread, int) and unsigned(thread) in threads:
                kept.append((name_id, priority, _signed(thread)))
                if isinstance(name_id, int):
                    self.string_ids.add(name_id)
        self.result.remove("names of threads without records", len(rows) - len(kept))
        self._write("ThreadNames", THREAD_NAME, kept)

    def _copy_processes(self) -> None:
        """Write the ids of the processes that have records, without their names."""
        processes = {unsigned(global_id & PROCESS_BITS) for global_id in self.global_ids - {NULL}}
        named = self.tables.rows("PROCESSES", ["globalPid", "name"])
        self.result.remove("names of processes", len(named))
        rows = [(_signed(process), pid_of(process)) for process in sorted(processes)]
        self._write("PROCESSES", {"globalPid": int, "pid": int}, rows)

    def _copy_strings(self) -> int:
        """Copy the strings that copied rows refer to, and return how many there are."""
        found = self.tables.strings(sorted(self.string_ids))
        rows = [(string_id, self._cleaned_name(text)) for string_id, text in found.items()]
        self._write("StringIds", {"id": int, "value": str}, rows)
        return len(rows)

    def _write(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        """Write the rows, with what is not of its column's type left out."""
        cleaned = []
        for row in rows:
            cells = zip(columns.items(), row, strict=True)
            cleaned.append(tuple(self._cell(column, kind, cell) for (column, kind), cell in cells))
        if cleaned:
            self.sink.rows(table, columns, cleaned)

    def _cell(self, column: str, kind: type, value: Any) -> Any:
        if not isinstance(value, kind):
            return None
        if not isinstance(value, str) or column == "value":  # a "value" was cleaned already
            return value
        return self.texts.identity(value) if column == "uuid" else self.texts.text(value)

    def _count_rest(self, copied_strings: int) -> None:
        """Count the rows of the tables of which nothing is copied."""
        copied = {*known.NUMBERS, *known.FACTS, *known.ENUMERATIONS, *SCHEMA_TABLES}
        copied |= {"DIAGNOSTIC_EVENT", "ThreadNames", "PROCESSES"}
        sizes = self.tables.sizes()
        unused_strings = sizes.pop("StringIds", copied_strings) - copied_strings
        self.result.remove("texts that nothing copied refers to", unused_strings)
        for table, row_count in sizes.items():
            if table in copied or table.startswith("ENUM_"):
                continue
            if table in known.REMOVED:
                what = f"{known.REMOVED[table]} ({table})"
            else:
                what = "rows of tables that idlescope does not know"
            self.result.remove(what, row_count)


def _signed(global_id: int) -> int:
    """Return an id as SQLite holds it."""
    return global_id - 2**64 if global_id >= 2**63 else global_id
