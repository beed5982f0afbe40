"""A recording as bytes, for another process: a head of JSON, then the columns as they are.

Nothing in it can run, and it is read and written without Arrow, whose import takes long.
"""

from __future__ import annotations

import json
from struct import Struct

import msgspec

from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Trace
from idlescope.trace.recording.files import TABLES, RecordingDocument, encoded_document
from idlescope.trace.table import Table
from idlescope.trace.table_bytes import column_bytes, tables_in

HEAD = Struct(f"<q{len(TABLES)}q")  # bytes of the document, rows of each table


def packed(trace: Trace) -> bytes:
    """Return a Trace of one file as bytes."""
    document = encoded_document(trace)
    tables: list[Table] = [getattr(trace, name) for name in TABLES]
    head = HEAD.pack(len(document), *map(len, tables))
    return b"".join((head, document, *column_bytes(tables)))


def unpacked(content: bytes) -> Trace:
    """Return the Trace that `packed` made bytes of; other bytes are an error, or another Trace."""
    document_bytes, *rows = HEAD.unpack_from(content)
    place = HEAD.size + document_bytes
    fields = json.loads(content[HEAD.size : place])
    document = msgspec.convert(fields, RecordingDocument)
    tables = tables_in(memoryview(content)[place:], list(TABLES.values()), rows)
    return Trace(
        **dict(zip(TABLES, tables, strict=True)),  # type: ignore[arg-type]
        names=document.names,
        devices=document.devices,
        streams=document.streams,
        threads=document.threads,
        meta=Metadata.from_json(document.meta),
    )
