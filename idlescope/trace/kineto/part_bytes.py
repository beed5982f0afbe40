"""A Part as bytes, to go from one process to another: a head of JSON, then columns as they are.

Nothing in it can run: the head is text, the columns are numbers of the types that the tables have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from struct import Struct
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage, Note
from idlescope.trace.kineto.columns import Gpu, Part
from idlescope.trace.model import Calls, Collectives, Counters, Operations, Ranges
from idlescope.trace.table import Table
from idlescope.trace.table_bytes import column_bytes, tables_in

HEAD_LENGTH = Struct("<q")  # bytes of the head
TABLES: tuple[type[Table], ...] = (
    Operations,
    Calls,
    Ranges,
    Counters,
    Collectives,
)


class PartBytesError(ValueError):
    """What came is no Part."""


def packed(part: Part) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a part whose tables are joined."""
    tables = [part.tables[kind][0] for kind in TABLES]
    head = {
        "rows": [len(table) for table in tables],
        "names": part.names,
        "threads": part.threads,
        "streams": part.streams,
        "gpus": part.gpus,
        "thread_names": [[*track, name] for track, name in part.thread_names.items()],
        "metadata": part.metadata,
        "notes": [[what, *note] for what, note in part.damage.notes.items()],
        "lost": part.damage.lost,
        "truncated": part.damage.truncated,
        "events": part.events,
        "operation_blocks": part.operation_blocks,
    }
    yield from _with_head(head)
    yield from column_bytes(tables)


def packed_error(error: TraceError) -> Iterator[bytes]:
    """Yield the bytes of the error that reading a part ended in."""
    yield from _with_head({"error": str(error)})


def unpacked(sent: bytes) -> Part:
    """Return the part in some bytes.

    Raises the TraceError that was sent instead of it, and PartBytesError where neither was.
    """
    try:
        (head_length,) = HEAD_LENGTH.unpack_from(sent)
        columns_start = HEAD_LENGTH.size + head_length
        head = json.loads(sent[HEAD_LENGTH.size : columns_start])
        if "error" in head:
            raise TraceError(str(head["error"]))
        tables = tables_in(memoryview(sent)[columns_start:], TABLES, head["rows"])
        return _part(head, tables)
    except TraceError:
        raise
    except Exception as error:
        raise PartBytesError(f"{type(error).__name__}: {error}") from error


def _with_head(head: dict[str, Any]) -> Iterator[bytes]:
    head_text = json.dumps(head).encode()
    yield HEAD_LENGTH.pack(len(head_text))
    yield head_text


def _part(head: dict[str, Any], tables: list[Table]) -> Part:
    damage = Damage(
        notes={what: Note(times, place) for what, times, place in head["notes"]},
        lost=head["lost"],
        truncated=head["truncated"],
    )
    return Part(
        tables={type(table): [table] for table in tables},
        names=tuple(head["names"]),
        threads=tuple((pid, tid) for pid, tid in head["threads"]),
        streams=tuple(head["streams"]),
        gpus=tuple(Gpu(*gpu) for gpu in head["gpus"]),
        thread_names={(pid, tid): name for pid, tid, name in head["thread_names"]},
        metadata=head["metadata"],
        damage=damage,
        events=head["events"],
        operation_blocks=[(count, byte) for count, byte in head["operation_blocks"]],
    )
