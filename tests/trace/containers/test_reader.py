"""Packed files and archives are opened by their content, within bounds, and said by their own names."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import tarfile
import tempfile
import zipfile

import pyarrow as pa
import pytest

from idlescope.errors import TraceError
from idlescope.trace import expansion
from idlescope.trace.containers import unpack
from idlescope.trace.open import open_trace
from tests.make import rocprof_files, rpd_files
from tests.make.kineto_files import call, document, operation
from tests.make.known_work import steps
from tests.make.nsys_files import Export

TRACE = json.dumps(document([call(0, 10, 1), operation(20, 30, correlation=1)])).encode()


def packed_by_codec(codec, content):
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, codec) as stream:
        stream.write(content)
    return target.getvalue().to_pybytes()


def tar(files, mode="w"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(files, method=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


PACKERS = {
    "xz": lzma.compress,
    "zst": lambda content: packed_by_codec("zstd", content),
    "lz4": lambda content: packed_by_codec("lz4", content),
    "bz2": bz2.compress,
    "zip": lambda content: zipped({"folder/t.json": content}),
    "tar": lambda content: tar({"folder/t.json": content}),
    "tar.gz": lambda content: tar({"t.json": content}, "w:gz"),
    "tar.xz": lambda content: lzma.compress(tar({"t.json": content})),
    "json.gz.zst": lambda content: packed_by_codec("zstd", gzip.compress(content)),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_a_trace_is_found_in_it_whatever_it_is_called(tmp_path, kind):
    for name in (f"t.{kind}", "renamed.json", "bare"):
        path = tmp_path / name
        path.write_bytes(PACKERS[kind](TRACE))
        trace = open_trace(path)
        assert len(trace.operations) == 1
        assert trace.meta.path == str(path)
        assert trace.meta.format == "kineto"


def test_every_format_is_found_in_gzip(tmp_path):
    export = Export()
    export.kernel(0, 10)
    made = {
        "nsys": export.sqlite(tmp_path / "e.sqlite"),
        "rpd": rpd_files.write(tmp_path / "a.rpd", steps()),
        "rocprof": rocprof_files.rocpd(tmp_path / "a.db", steps()),
    }
    made_json = rocprof_files.json_file(
        tmp_path / "r.json", rocprof_files.document(steps())
    )
    for format_name, path in [*made.items(), ("rocprof", made_json)]:
        packed = tmp_path / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert open_trace(packed).meta.format == format_name


def test_several_traces_of_an_archive_are_ranks(tmp_path):
    path = tmp_path / "ranks.zip"
    path.write_bytes(
        zipped(
            {"a/rank0.json": TRACE, "b/rank0.json": TRACE, "__MACOSX/._rank0.json": b"x"}
        )
    )
    trace = open_trace(path)
    assert len(trace.operations) == 2
    assert trace.meta.path == str(path)


def test_in_a_folder_of_ranks_they_are_ranks(tmp_path):
    (tmp_path / "rank0.json.zst").write_bytes(packed_by_codec("zstd", TRACE))
    (tmp_path / "rank1.json").write_bytes(TRACE)
    assert len(open_trace(tmp_path).operations) == 2


def test_nothing_is_left_behind_and_nothing_leads_out(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        entry = tarfile.TarInfo("../../out.json")
        entry.size = len(TRACE)
        archive.addfile(entry, io.BytesIO(TRACE))
    path = tmp_path / "in" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(packed.getvalue())
    assert len(open_trace(path).operations) == 1
    assert os.listdir(scratch) == []
    assert sorted(os.listdir(tmp_path)) == ["in", "scratch"]


class TestBounds:
    @pytest.mark.parametrize("kind", ["xz", "zst", "bz2", "zip", "tar.gz"])
    def test_a_bomb_is_refused(self, tmp_path, monkeypatch, kind):
        monkeypatch.setattr(expansion, "EXPANSION_CHECKED_FROM", 1 << 20)
        path = tmp_path / f"bomb.{kind}"
        path.write_bytes(PACKERS[kind](b'{"traceEvents": [' + b" " * (8 << 20)))
        with pytest.raises(TraceError, match="unpacks to over 250 times its size"):
            open_trace(path)

    def test_too_many_files_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(unpack, "MOST_MEMBERS", 3)
        path = tmp_path / "many.zip"
        path.write_bytes(zipped({f"{number}.json": TRACE for number in range(5)}))
        with pytest.raises(TraceError, match="holds over 3 files"):
            open_trace(path)

    def test_what_is_packed_too_often_is_refused(self, tmp_path):
        content = TRACE
        for _ in range(8):
            content = lzma.compress(content)
        (tmp_path / "a.xz").write_bytes(content)
        with pytest.raises(TraceError, match=r"a\.xz.* is packed over 4 times"):
            open_trace(tmp_path / "a.xz")

    def test_a_full_disk_is_one_sentence(self, tmp_path, monkeypatch):
        monkeypatch.setattr(unpack, "SPARE_BYTES", 1 << 62)
        (tmp_path / "a.xz").write_bytes(lzma.compress(TRACE))
        with pytest.raises(TraceError, match="set TMPDIR"):
            open_trace(tmp_path / "a.xz")


class TestDamage:
    @pytest.mark.parametrize("kind", PACKERS)
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
    def test_what_is_cut_short_is_one_sentence(self, tmp_path, kind, share):
        noise = random.Random(0).randbytes(40_000).hex().encode()
        packed = PACKERS[kind](
            TRACE.replace(b'"traceEvents"', b'"noise": "' + noise + b'", "traceEvents"')
        )
        path = tmp_path / f"t.{kind}"
        path.write_bytes(packed[: int(len(packed) * share)])
        with pytest.raises(TraceError) as error:
            open_trace(path)
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)

    def test_an_encrypted_or_empty_archive_is_one_sentence(self, tmp_path):
        path = tmp_path / "t.zip"
        packed = bytearray(zipped({"t.json": TRACE}))
        for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            packed[packed.find(magic) + offset] |= 1
        path.write_bytes(packed)
        with pytest.raises(TraceError, match=r"cannot be unpacked .*encrypted"):
            open_trace(path)
        path.write_bytes(zipped({"folder/": b""}))
        with pytest.raises(TraceError, match="is an archive without files"):
            open_trace(path)

    def test_what_is_wrong_inside_is_said_with_the_name_of_the_file(self, tmp_path):
        path = tmp_path / "t.json.xz"
        path.write_bytes(lzma.compress(b"no trace"))
        with pytest.raises(TraceError) as error:
            open_trace(path)
        assert str(error.value).startswith(f"{path} ")
