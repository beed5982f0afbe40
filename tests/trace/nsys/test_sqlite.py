"""An SQLite export is read as it lies, whatever state it is in, and never written to."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress

import numpy as np
import pytest

from idlescope.errors import TraceError
from idlescope.trace.damage import OPERATION_FIGURES, uncertain
from idlescope.trace.nsys import reader
from idlescope.trace.scrub.copy import scrub
from idlescope.trace.sqlite import tables as sqlite_tables
from tests.make.nsys_files import CALLS, KERNELS, NVTX
from tests.trace.nsys.small_export import small, tables


def test_text_that_is_not_utf8_is_read(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE NVTX_EVENTS SET text = CAST(x'6b80' AS TEXT) WHERE text = 'forward'"
        )
    assert "k\ufffd" in reader.read(path).names


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_table_is_read_in_chunks_of_any_size_also_with_rows_deleted(
    tmp_path, monkeypatch, size
):
    path = small().sqlite(tmp_path / "e.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"DELETE FROM {CALLS} WHERE rowid IN (2, 3)")  # noqa: S608
    whole = reader.read(path)
    monkeypatch.setattr(sqlite_tables, "ROWS_AT_ONCE", size)
    monkeypatch.setattr(sqlite_tables, "STRINGS_AT_ONCE", size)
    for table, expected in zip(tables(reader.read(path)), tables(whole), strict=True):
        assert table.to_frame().equals(expected.to_frame())


def test_an_index_that_a_tool_has_added_changes_nothing(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    whole = reader.read(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE INDEX i ON {NVTX} (text DESC)")
        database.execute(
            f"CREATE INDEX j ON {NVTX} (start DESC, end, eventType, globalTid, textId, domainId)"
        )
        database.execute("ANALYZE")
    assert all(
        t.to_frame().equals(w.to_frame())
        for t, w in zip(tables(reader.read(path)), tables(whole), strict=True)
    )


@pytest.mark.parametrize("name", ["e.sqlite", "with space #1 ? 100%41.sqlite", "ü.db"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_file_and_its_folder_stay_as_they_were_also_read_only(tmp_path, name, mode):
    folder = tmp_path / "in"
    folder.mkdir()
    path = small().sqlite(folder / name)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
    before = path.read_bytes(), path.stat().st_mtime_ns, os.listdir(folder)
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert len(reader.read(path).operations) == 10
    finally:
        folder.chmod(0o755)
    assert (path.read_bytes(), path.stat().st_mtime_ns, os.listdir(folder)) == before


def test_an_sqlite_file_is_read_without_pyarrow_and_pandas(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    code = (
        "import sys, pathlib; from idlescope.trace.nsys import reader;"
        "reader.read(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + b"no" * 500)
    with pytest.raises(
        TraceError,
        match=r"x\.sqlite is not a whole SQLite database .*nsys export --type sqlite",
    ):
        reader.read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_database_that_is_cut_short_is_one_sentence(tmp_path, share):
    export = small()
    for i in range(5_000):
        export.kernel(10_000 + i, 10_000 + i)
    path = export.sqlite(tmp_path / "x.sqlite")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(
        TraceError, match=r"not a whole SQLite database .*malformed.*copy it again"
    ):
        reader.read(path)


PAGE = 4096


def kernels_on_pages():
    """Return an export of 5,000 kernels, which lie on many pages."""
    export = small()
    for i in range(5_000):
        export.kernel(10_000 + 3 * i, 10_001 + 3 * i)
    return export


def overwritten(sound, pages, folder):
    """Write a database with some pages of noise."""
    content, noise = bytearray(sound), np.random.default_rng(0)
    for page in pages:
        content[page * PAGE : (page + 1) * PAGE] = noise.bytes(PAGE)
    path = folder / f"{'-'.join(map(str, pages))}.sqlite"
    path.write_bytes(content)
    return path


def test_around_damaged_pages_all_else_is_read_and_the_figures_are_marked(tmp_path):
    sound_path = kernels_on_pages().sqlite(tmp_path / "x.sqlite")
    sound, whole = sound_path.read_bytes(), reader.read(sound_path)
    true_starts, read_around = Counter(whole.operations.start.tolist()), 0
    last = len(sound) // PAGE
    for pages in ([page] for page in range(1, last, 5)):
        try:
            trace = reader.read(overwritten(sound, pages, tmp_path))
        except TraceError as error:
            assert "not a whole SQLite database" in str(error)  # noqa: PT017
            continue
        starts = Counter(trace.operations.start.tolist())
        assert starts <= true_starts
        if starts != true_starts:
            read_around += 1
            assert starts.total() > 0.9 * true_starts.total()
            assert trace.meta.truncated
            assert set(OPERATION_FIGURES) <= set(uncertain(trace.meta))
            assert any("around damaged pages" in text for text in trace.meta.warnings)
    assert read_around > 3


def test_several_damaged_pages_are_read_around(tmp_path):
    sound_path = kernels_on_pages().sqlite(tmp_path / "x.sqlite")
    whole = reader.read(sound_path)
    with closing(sqlite3.connect(sound_path)) as database:
        (root,) = database.execute(
            f"SELECT rootpage FROM sqlite_master WHERE name = '{KERNELS}'"  # noqa: S608
        ).fetchone()
    sound = sound_path.read_bytes()
    leaves = leaf_pages(sound, root)
    trace = reader.read(
        overwritten(sound, [leaves[0], leaves[5], leaves[6], leaves[-1]], tmp_path)
    )
    share = len(trace.operations) / len(whole.operations)
    assert 1 - 5 / len(leaves) < share < 1
    assert trace.meta.truncated


def leaf_pages(content, root):
    """Return the leaves below a root page, from its cells (sqlite.org/fileformat2.html)."""
    page = content[(root - 1) * PAGE : root * PAGE]
    assert page[0] == 5  # of tables, not a leaf
    cells = int.from_bytes(page[3:5], "big")
    places = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
    children = [int.from_bytes(page[place : place + 4], "big") for place in places]
    return [child - 1 for child in (*children, int.from_bytes(page[8:12], "big"))]


def test_of_a_copy_that_is_scrubbed_nothing_may_be_missing(tmp_path):
    sound = kernels_on_pages().sqlite(tmp_path / "x.sqlite").read_bytes()
    for page in range(len(sound) // PAGE // 2, len(sound) // PAGE, 9):
        path = overwritten(sound, [page], tmp_path)
        with suppress(TraceError):
            reader.read(path)
            if reader.read(path).meta.truncated:
                with pytest.raises(TraceError, match="not a whole SQLite database"):
                    scrub(path, tmp_path / "copy.sqlite")
                return
    pytest.fail("no page was damaged")


def test_another_programs_database_is_one_sentence(tmp_path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (a)")
    with pytest.raises(TraceError, match="none of the tables of Nsight Systems"):
        reader.read(path)


def test_a_database_that_is_being_written_is_one_sentence(tmp_path):
    path = small().sqlite(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TraceError, match="being written by another program"):
            reader.read(path)


def test_changes_outside_the_file_are_one_sentence(tmp_path):
    path = small().sqlite(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("DELETE FROM StringIds")
        with pytest.raises(TraceError, match=r"changes in x\.sqlite-wal"):
            reader.read(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        reader.read(tmp_path / "x.sqlite")
