"""Protobuf messages are walked through; what is none is told, what was cut off is read as far as it goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace import protobuf
from idlescope.trace.protobuf import MalformedError, Walk
from tests.make.protobuf import message, varint

FIELDS = st.lists(
    st.tuples(
        st.integers(1, 2**20),
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300), st.floats(allow_nan=False)),
    )
)  # fmt: skip


@given(FIELDS)
def test_what_was_written_is_found(fields):
    walk = Walk()
    found = list(walk.fields(message(fields)))
    assert not walk.cut
    assert len(found) == len(fields)
    for (number, value), (found_number, found_value) in zip(fields, found, strict=True):
        assert number == found_number
        if isinstance(value, float):
            assert protobuf.double(found_value) == value
        elif isinstance(value, int):
            assert protobuf.signed(found_value) == value
        else:
            assert found_value == value


@given(st.binary(max_size=200))
def test_any_bytes_end_in_fields_or_in_one_error(content):
    try:
        for _, value in Walk().fields(content):
            (
                protobuf.text(value),
                protobuf.signed(value),
                protobuf.double(value),
                protobuf.message(value),
            )
    except MalformedError:
        pass


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_message_that_was_cut_off_is_read_as_far_as_it_goes(kept):
    walk = Walk()
    whole = message([(1, 5), (2, b"abcdef"), (3, 300)])
    found = list(walk.fields(whole[:kept]))
    assert [number for number, _ in found] == [1, 2, 3][: len(found)]
    assert walk.cut == (kept not in (2, 10))


def test_a_number_without_an_end_is_an_error():
    with pytest.raises(MalformedError, match="without an end"):
        list(Walk().fields(b"\x08" + b"\xff" * 12))


@pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
def test_groups_and_unknown_types_are_an_error(wire_type):
    with pytest.raises(MalformedError, match=f"wire type {wire_type}"):
        list(Walk().fields(varint(1 << 3 | wire_type)))
