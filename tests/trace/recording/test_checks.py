"""A recording whose tables are damaged is refused in one sentence, and gives no other figures."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.recording import files
from tests.make.traces import trace

OPERATIONS = [
    (0, 10, 0, 0, 0, 0, 5, 1, 0, 0.0),
    (20, 30, 1, 1, 2, 1, 6, 1, 64, 2.5),
]


@pytest.fixture
def recording(tmp_path):
    files.write(trace(OPERATIONS, [(1, 2, 0, 1, 5)], [(0, 9, 0, 0, 0, 1)]), tmp_path / "r")
    return tmp_path / "r"


def replaced(recording, column, values):
    """Write other values, or values of another type, into a column of the operations."""
    path = recording / "operations.parquet"
    table = parquet.read_table(path)
    index = table.schema.get_field_index(column)
    parquet.write_table(table.set_column(index, column, pa.array(values)), path)


def refused(recording, reason):
    with pytest.raises(TraceError, match="is not a whole recording") as error:
        idlescope.open(recording)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sound_recording_is_read(recording):
    assert idlescope.open(recording).operations.end.tolist() == [10, 30]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("end", [10, None], "1 values of operations.end are missing"),
        ("end", [10.0, float("nan")], "operations.end is of type double"),
        ("end", ["10", "30"], "operations.end is of type string"),
        ("end", [10, 19], "1 operations end before they start"),
        ("device", [0, -1], "operations.device holds -1"),
        ("device", [0, 2], "operations.device holds 2, which is not within 0 to 1"),
        ("device", [0, 2**32], "operations.device holds 4,294,967,296"),
        ("stream", [0, 3], "operations.stream holds 3"),
        ("name", [0, 700], "operations.name holds 700"),
        ("kind", [0, 4], "operations.kind holds 4"),
    ],
)
def test_values_that_cannot_be_are_refused(recording, column, values, reason):
    replaced(recording, column, values)
    refused(recording, reason)


def test_small_integers_of_another_type_are_taken(recording):
    replaced(recording, "device", np.array([0, 1], np.int8))
    assert idlescope.open(recording).operations.device.tolist() == [0, 1]


def test_a_table_that_is_a_folder_is_refused(recording):
    """Pyarrow would read all files in it, and count their rows twice."""
    path = recording / "operations.parquet"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    for name in ("a.parquet", "b.parquet"):
        (path / name).write_bytes(content)
    refused(recording, "operations.parquet is a folder")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("names", [1, 2]),
        ("devices", [{"process": "0", "index": 0}]),
        ("threads", [{"process": 0}]),
        ("meta", []),
        ("streams", None),
    ],
)
def test_a_document_of_other_types_is_refused(recording, entry, value):
    path = recording / "meta.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {entry: value}))
    refused(recording, "ValidationError")


def test_a_document_that_is_too_deep_is_refused(recording):
    (recording / "meta.json").write_text('{"schema": 1, "names": ' + "[" * 100_000)
    with pytest.raises(TraceError, match="is not a whole recording"):
        idlescope.open(recording)
