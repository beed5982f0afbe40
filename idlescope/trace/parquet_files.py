"""Read Parquet files that anyone may have written: bounded in memory, no surprise but a ValueError.

Equal rows take almost no space in a file: 30 million of them fit in a megabyte. Text is read as its
distinct values, so that a long one that many rows share is in memory once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from idlescope.plain_files import NotPlainError, plain_size
from idlescope.trace.table import Int32

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData

# Recordings of real runs grow 10 to 40 times in memory, modelled ones whose steps are all alike far
# more. Beyond half a gigabyte, which is a million steps of these, more than this is a bomb.
MOST_EXPANSION = 250
EXPANSION_CHECKED_FROM = 512 << 20
VALUE_BYTES = 8  # of a number in memory
DAMAGE = 120  # characters of pyarrow's words that are repeated


class Texts(NamedTuple):
    """A column of text: each row's index among the distinct texts, -1 for none."""

    codes: Int32
    texts: list[str]


def read_columns(path: Path, columns: Sequence[str] | None) -> pa.Table:
    """Return columns of a file, text as dictionaries; with None no rows, which tells the columns.

    Raises ValueError, with what is wrong, where the file is not whole or would fill the memory.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        plain_size(path)  # of a folder, pyarrow would read all files in it
        with parquet.ParquetFile(path) as parquet_file:
            schema, metadata = parquet_file.schema_arrow, parquet_file.metadata
        _check_names(schema.names)
        if columns is None:
            return schema.empty_table()
        _refuse_bomb(path, metadata, len(columns))
        texts = [column for column in columns if _is_text(schema.field(column).type)]
        with parquet.ParquetFile(
            path, read_dictionary=texts, metadata=metadata
        ) as parquet_file:
            return parquet_file.read(list(columns))
    except NotPlainError as error:
        what_it_is = str(error).removeprefix("it ")
        raise ValueError(f"{path.name} {what_it_is}") from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        pa.ArrowException,
    ) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(words[:DAMAGE]) from error


def rows_of(path: Path) -> int:
    """Return the number of rows of a file; at least 1 where that cannot be told."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows) if plain_size(path) else 1
    except (OSError, ValueError, TypeError, pa.ArrowException):
        return 1


def texts_of(column: pa.ChunkedArray) -> Texts:
    """Return a column as text; what is of another type is none."""
    codes: list[Int32] = [np.empty(0, np.int32)]
    texts: list[str] = []
    for chunk in column.chunks:
        encoded = _encoded(chunk)
        if encoded is None:
            codes.append(np.full(len(chunk), -1, np.int32))
            continue
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        code_of_row = np.where(indices < 0, -1, indices + len(texts))
        codes.append(np.asarray(code_of_row, np.int32))
        texts += [_decoded(text) for text in encoded.dictionary]
    return Texts(np.concatenate(codes), texts)


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as numbers and texts; None for what is missing or of another type."""
    import pyarrow as pa

    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if is_number or pa.types.is_boolean(kind):
        values: list[Any] = column.to_pylist()
        return values
    text = texts_of(column)
    choices = [*text.texts, None]  # the last stands for no text, whose index is -1
    return [choices[code] for code in text.codes.tolist()]


def _encoded(chunk: pa.Array) -> pa.DictionaryArray | None:
    """Return an array of text as a dictionary of bytes; None where it holds anything else."""
    import pyarrow as pa

    if not pa.types.is_dictionary(chunk.type):
        if not _is_text(chunk.type):
            return None
        chunk = chunk.dictionary_encode()
    if not _is_text(chunk.type.value_type):
        return None
    return pa.DictionaryArray.from_arrays(
        chunk.indices, chunk.dictionary.cast(pa.large_binary()), safe=False
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_string or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _decoded(text: pa.Scalar) -> str:
    encoded: bytes | None = text.as_py()
    return (encoded or b"").decode("utf-8", "replace")


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"it has two columns called {name}")
        seen.add(name)


def _refuse_bomb(path: Path, metadata: FileMetaData, columns: int) -> None:
    """Raise ValueError where a file would take far more memory than any recording of its size."""
    decoded = metadata.num_rows * columns * VALUE_BYTES
    encoded = sum(
        metadata.row_group(group).total_byte_size
        for group in range(metadata.num_row_groups)
    )
    in_memory, file_size = max(decoded, encoded), path.stat().st_size
    if in_memory > max(EXPANSION_CHECKED_FROM, MOST_EXPANSION * file_size):
        raise ValueError(
            f"its {metadata.num_rows:,} rows would take {in_memory >> 20:,} MB, over "
            f"{MOST_EXPANSION} times its size: no recording does"
        )
