"""A folder of Parquet files is read as an SQLite export is."""

from __future__ import annotations

import pytest

from idlescope.errors import TraceError
from idlescope.trace.nsys import reader, recognise
from tests.make.nsys_files import CALLS, GRAPHS
from tests.trace.nsys.small_export import small


def test_a_folder_of_parquet_files_is_told_from_others(tmp_path):
    folder = small().parquet(tmp_path / "export")
    assert recognise.is_parquet_export(folder)
    assert not recognise.is_parquet_export(tmp_path)


def test_a_parquet_file_that_is_cut_short_is_one_sentence(tmp_path):
    folder = small().parquet(tmp_path / "export")
    path = folder / f"{CALLS}.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(
        TraceError,
        match=rf"{CALLS}\.parquet is not a whole Parquet file .*--type parquetdir",
    ):
        reader.read(folder)


def test_parquet_columns_of_other_types_are_read_or_counted(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    folder = tmp_path / "export"
    folder.mkdir()
    times = {
        "start": pa.array(["1", "x", "5"]),
        "end": [2.0, 3.0, 6.5],
        "deviceId": [True, True, True],
    }
    parquet.write_table(pa.table(times), folder / f"{GRAPHS}.parquet")
    trace = reader.read(folder)
    assert (trace.operations.start.tolist(), trace.operations.end.tolist()) == ([1], [2])
    assert (trace.meta.lost, trace.devices[0].index) == ({"operations": 2}, 1)
