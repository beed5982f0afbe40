"""Gzip files that end early, break, or unpack without end."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from idlescope.errors import TraceError
from idlescope.trace import expansion
from tests.make.damaged_kineto import COUNT, WHOLE
from tests.make.kineto_files import document, operation, read_text


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_gzip_file_that_ends_early(tmp_path, share):
    packed = gzip.compress(WHOLE)
    trace = read_text(tmp_path, packed[: int(len(packed) * share)])
    assert 0 < len(trace.operations) < COUNT
    assert trace.meta.truncated
    assert "its gzip data ends early" in trace.meta.warnings[-1]


def test_a_gzip_file_that_breaks(tmp_path):
    many = [operation(i * 1000, i * 1000 + 700) for i in range(COUNT * 30)]
    packed = bytearray(gzip.compress(json.dumps(document(many)).encode()))
    packed[-8] ^= 0xFF  # the check sum
    trace = read_text(tmp_path, bytes(packed))
    assert trace.meta.truncated
    assert len(trace.operations) >= COUNT * 30 - 1  # the last 64 bytes are not given back
    assert any("its gzip data breaks" in w for w in trace.meta.warnings)


def test_gzip_members_one_behind_the_other_are_one_file(tmp_path):
    half = len(WHOLE) // 2
    trace = read_text(
        tmp_path, gzip.compress(WHOLE[:half]) + gzip.compress(WHOLE[half:]) + b"\0" * 512
    )
    assert len(trace.operations) == COUNT
    assert not trace.meta.warnings


def test_a_bomb_is_stopped_within_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(expansion, "EXPANSION_CHECKED_FROM", 1 << 20)
    pack = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    bomb = pack.compress(WHOLE) + b"".join(
        pack.compress(b" " * (1 << 20)) for _ in range(64)
    )
    with pytest.raises(TraceError, match="unpacks to over 250 times its size"):
        read_text(tmp_path, bomb + pack.flush(), "t.json.gz")
