"""Scrub a Nsight Systems export: of known tables, known columns are copied.

Environment, command lines, host names, captured output and lists of processes stand in tables of
their own and in StringIds. The copy is built anew, so that no freed page holds them either; of
StringIds it has only what the copied columns refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from idlescope.trace.damage import LOSS, Damage
from idlescope.trace.distinct import distinct
from idlescope.trace.names.operators import OPERATOR
from idlescope.trace.nsys import scrub_tables as known
from idlescope.trace.nsys.columns import PROCESS_BITS, pid_of, unsigned
from idlescope.trace.nsys.files import open_tables
from idlescope.trace.nsys.reader import SCHEMA_TABLES
from idlescope.trace.nsys.sinks import ParquetSink, Rows, Sink, SqliteSink
from idlescope.trace.nsys.tables import Tables
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import loss
from idlescope.trace.scrub.texts import Texts, is_generic
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.whole_files import new_database

# columns of the tables that are copied row by row, with the types of their values
ENUMERATION = {"id": int, "name": str, "label": str}
DIAGNOSTIC = {
    "timestamp": int,
    "timestampType": int,
    "source": int,
    "severity": int,
    "text": str,
}
THREAD_NAME = {"nameId": int, "priority": int, "globalTid": int}

Progress = Callable[[int], None]


def scrub(
    source: Path,
    target: Path,
    result: Scrubbed,
    progress: Progress | None = None,
) -> None:
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
        self,
        tables: Tables,
        sink: Sink,
        result: Scrubbed,
        progress: Progress | None,
    ) -> None:
        self.tables = tables
        self.sink = sink
        self.result = result
        self.progress = progress
        self.texts = Texts(result)
        self.names: set[str] = set()
        self.string_ids: set[int] = set()
        self.string_ids_before_threads: set[int] = set()
        self.global_ids: set[int] = set()  # of threads and processes
        self.copied_rows = 0

    def run(self) -> None:
        """Copy all that may be copied, and count the rest."""
        for table_name, columns in known.NUMBERS.items():
            self._copy_numbers(table_name, columns)
        for table_name, columns in known.FACTS.items():
            self._copy_facts(table_name, columns)
        for table_name in known.ENUMERATIONS:
            self._write(
                table_name, ENUMERATION, self.tables.rows(table_name, list(ENUMERATION))
            )
        for table_name in SCHEMA_TABLES:
            self._copy_schema(table_name)
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
        text_columns: dict[str, list[str | None]] = {}
        text_column = known.TEXTS.get(table, "")
        if text_column in self.tables.columns(table):
            text_columns[text_column] = self._text_column(table, text_column)
        for column in present:
            if column in known.STRINGS:
                self.string_ids.update(distinct(columns[column]).tolist())
            elif column in known.GLOBAL_IDS:
                self.global_ids.update(distinct(columns[column]).tolist())
        if row_count:
            self.sink.numbers(table, columns, text_columns)
        self.copied_rows += row_count
        if self.progress is not None:
            self.progress(self.copied_rows)

    def _text_column(self, table: str, column: str) -> list[str | None]:
        text_codes, cleaned_names = self.tables.texts(table, column, self._cleaned_name)
        # the last stands for NULL, whose code is -1
        choices: list[str | None] = [*cleaned_names, None]
        return [choices[text_code] for text_code in text_codes.tolist()]

    def _cleaned_name(self, text: str) -> str:
        cleaned_name = self.texts.name(text)
        # as readers count names: without the ids of single operators
        self.names.add(OPERATOR.split(cleaned_name, maxsplit=1)[0])
        return cleaned_name

    def _copy_facts(self, table: str, wanted: tuple[str, ...]) -> None:
        present = [column for column in wanted if column in self.tables.columns(table)]
        column_types = {
            column: str if column in known.FACT_TEXTS else int for column in present
        }
        self._write(table, column_types, self.tables.rows(table, present))

    def _copy_schema(self, table: str) -> None:
        """Copy which version of the schema the export has."""
        schema_facts = self.tables.rows(table, ["name", "value"])
        kept_facts = []
        for fact_name, fact_value in schema_facts:
            if fact_name in known.EXPORT_FACTS:
                kept_facts.append((fact_name, self.texts.text(str(fact_value))))
        removed = len(schema_facts) - len(kept_facts)
        self.result.remove("users, hosts, files and times of the export", removed)
        self._write(table, {"name": str, "value": str}, kept_facts)

    def _copy_losses(self) -> None:
        """Copy that records were lost, in words of our own."""
        messages = self.tables.rows("DIAGNOSTIC_EVENT", list(DIAGNOSTIC))
        losses = []
        for *columns, message_text in messages:
            if isinstance(message_text, str) and LOSS.search(message_text):
                losses.append((*columns, loss(message_text)))
        self.result.remove("messages of the profiler", len(messages) - len(losses))
        self._write("DIAGNOSTIC_EVENT", DIAGNOSTIC, losses)

    def _copy_thread_names(self) -> None:
        """Copy the names of the threads that have records."""
        self.string_ids_before_threads = set(self.string_ids)
        threads = {unsigned(global_id) for global_id in self.global_ids - {NULL}}
        name_rows = self.tables.rows("ThreadNames", list(THREAD_NAME))
        kept_names: list[tuple[Any, ...]] = []
        for name_id, priority, thread in name_rows:
            if isinstance(thread, int) and unsigned(thread) in threads:
                kept_names.append((name_id, priority, _signed(thread)))
                if isinstance(name_id, int):
                    self.string_ids.add(name_id)
        self.result.remove(
            "names of threads without records", len(name_rows) - len(kept_names)
        )
        if not self.result.kept.threads:
            kept_names = list(self._generic_names(kept_names))
        self._write("ThreadNames", THREAD_NAME, kept_names)

    def _generic_names(self, name_rows: Rows) -> Rows:
        """Return the rows of ThreadNames whose names tell nothing; count the others."""
        name_ids = {name_id for name_id, *_ in name_rows if isinstance(name_id, int)}
        thread_names = self.tables.strings(sorted(name_ids))
        generic_rows = [
            name_row
            for name_row in name_rows
            if is_generic(thread_names.get(name_row[0], ""))
        ]
        only_names = name_ids - self.string_ids_before_threads
        self.string_ids -= only_names - {row[0] for row in generic_rows}
        self.result.remove("names of threads", len(name_rows) - len(generic_rows))
        return generic_rows

    def _copy_processes(self) -> None:
        """Write the ids of the processes that have records, without their names."""
        processes = {
            unsigned(global_id & PROCESS_BITS) for global_id in self.global_ids - {NULL}
        }
        named_processes = self.tables.rows("PROCESSES", ["globalPid", "name"])
        self.result.remove("names of processes", len(named_processes))
        process_rows = [
            (_signed(process), pid_of(process)) for process in sorted(processes)
        ]
        self._write("PROCESSES", {"globalPid": int, "pid": int}, process_rows)

    def _copy_strings(self) -> int:
        """Copy the strings that copied rows refer to, and return how many there are."""
        strings_found = self.tables.strings(sorted(self.string_ids))
        string_rows = [
            (string_id, self._cleaned_name(string_text))
            for string_id, string_text in strings_found.items()
        ]
        self._write("StringIds", {"id": int, "value": str}, string_rows)
        return len(string_rows)

    def _write(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        """Write the rows, with what is not of its column's type left out."""
        cleaned = []
        for table_row in rows:
            typed_cells = zip(columns.items(), table_row, strict=True)
            cleaned.append(
                tuple(
                    self._cell(column, cell_type, cell_value)
                    for (column, cell_type), cell_value in typed_cells
                )
            )
        if cleaned:
            self.sink.rows(table, columns, cleaned)

    def _cell(self, column: str, kind: type, value: Any) -> Any:
        if not isinstance(value, kind):
            return None
        if isinstance(value, int):
            return _signed(value) if -(2**63) <= value < 2**64 else None
        if column == "value":  # was cleaned already
            return value
        assert isinstance(value, str)
        return self.texts.identity(value) if column == "uuid" else self.texts.text(value)

    def _count_rest(self, copied_strings: int) -> None:
        """Count the rows of the tables of which nothing is copied."""
        copied = {*known.NUMBERS, *known.FACTS, *known.ENUMERATIONS, *SCHEMA_TABLES}
        copied |= {"DIAGNOSTIC_EVENT", "ThreadNames", "PROCESSES"}
        table_sizes = self.tables.sizes()
        unused_strings = table_sizes.pop("StringIds", copied_strings) - copied_strings
        self.result.remove("texts that nothing copied refers to", unused_strings)
        for table_name, row_count in table_sizes.items():
            if table_name in copied or table_name.startswith("ENUM_"):
                continue
            if table_name in known.REMOVED:
                removed_kind = f"{known.REMOVED[table_name]} ({table_name})"
            else:
                removed_kind = "rows of tables that idlescope does not know"
            self.result.remove(removed_kind, row_count)


def _signed(global_id: int) -> int:
    """Return an id as SQLite holds it."""
    return global_id - 2**64 if global_id >= 2**63 else global_id
