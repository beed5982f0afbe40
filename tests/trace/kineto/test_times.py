"""Decimal microseconds become exact nanoseconds; times that cannot be true are left out."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import idlescope
from idlescope.trace.kineto import times as exact
from tests.make.kineto_files import document, operation, read_text, span


@given(st.lists(st.integers(0, 2 * 10**18), min_size=1, max_size=20))
def test_decimal_microseconds_are_exact_to_the_nanosecond(times):
    text = [f"{t // 1000}.{t % 1000:03d}" for t in times]
    got = exact.exact_ns([float(t) for t in text], lambda: text)[0]
    assert got.tolist() == times


def test_exact_ns_agrees_with_decimal_arithmetic_below_the_float_limit():
    rng = np.random.default_rng(0)
    times = rng.integers(0, int(exact.EXACT_BELOW_US) * 1000, 20_000)
    text = [f"{t // 1000}.{t % 1000:03d}" for t in times.tolist()]

    def not_needed():
        raise AssertionError("the fast path is exact here")

    assert (exact.exact_ns([float(t) for t in text], not_needed)[0] == times).all()
    assert all(
        Decimal(t) * 1000 == n
        for t, n in zip(text[:100], times[:100].tolist(), strict=True)
    )


class TestTimes:
    """Records whose times cannot be true are left out, whatever wrote them."""

    base = 1_700_000_000_000_000_000

    def trace(self, tmp_path, **changes):
        events = [
            operation(self.base + i * 1000, self.base + i * 1000 + 500, correlation=i)
            for i in range(40)
        ]
        events[20] |= changes
        return read_text(tmp_path, json.dumps(document(events)).encode())

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ts": 0}, "with a time of zero"),
            ({"ts": 5}, "far from all others"),
            ({"dur": -3}, "end before they start"),
            ({"dur": 9e15}, "absurdly long"),
            ({"dur": 2**64}, "no numbers"),
            ({"ts": None}, "no numbers"),
            ({"ts": "soon"}, "no numbers"),
            ({"ts": [1]}, "no numbers"),
            ({"ts": 1e300}, "no numbers"),
            ({"ts": "1e999990"}, "no numbers"),  # half a minute, were it made an integer
            ({"dur": "1e999999"}, "no numbers"),  # and more than a Decimal can be
            ({"dur": "sNaN"}, "no numbers"),
        ],
    )
    def test_one_operation_is_left_out_and_counted(self, tmp_path, changes, said):
        trace = self.trace(tmp_path, **changes)
        assert len(trace.operations) == 39
        assert trace.meta.lost == {"operations": 1}
        (warning,) = trace.meta.warnings
        assert said in warning
        (device,) = idlescope.analyze(trace).results
        assert "idle_ns" in device.coverage.uncertain

    def test_the_place_is_the_records_own(self, tmp_path):
        events = [
            operation(self.base + i * 1000, self.base + i * 1000 + 500, correlation=i)
            for i in range(40)
        ]
        events[20]["dur"] = -3
        text = json.dumps(document(events), indent=3).encode()
        place = int(
            read_text(tmp_path, text)
            .meta.warnings[0]
            .rpartition("byte ")[2]
            .replace(",", "")
        )
        assert text[place:].startswith(b"{")
        assert -1 < text.index(b'"dur": -3') - place < 250

    def test_one_bad_record_at_the_front_does_not_spoil_the_others(self, tmp_path):
        events = [
            span(5, 10, "bad"),
            *(operation(self.base + i, self.base + i + 5, correlation=i) for i in range(6)),
        ]
        trace = read_text(tmp_path, json.dumps(document(events)).encode())
        assert (len(trace.operations), len(trace.ranges)) == (6, 0)

    def test_text_and_exponents_are_numbers(self, tmp_path):
        trace = self.trace(tmp_path, ts=f"{self.base // 1000 + 20}", dur="5e-1")
        assert len(trace.operations) == 40
        assert not trace.meta.warnings

    def test_zero_is_a_time_where_time_starts_at_zero(self, tmp_path):
        assert (
            len(
                read_text(
                    tmp_path, json.dumps(document([operation(0, 10)] * 1)).encode()
                ).operations
            )
            == 1
        )

    def test_a_list_is_no_time(self, tmp_path):
        trace = self.trace(tmp_path, ts=[1, 2])
        assert trace.meta.lost == {"operations": 1}
