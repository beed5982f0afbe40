"""Interval arithmetic against painting one nanosecond at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals

END = 60
spans = st.lists(
    st.tuples(st.integers(0, END), st.integers(0, 20)).map(
        lambda p: (p[0], min(p[0] + p[1], END))
    ),
    max_size=12,
)


def columns(pairs):
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def paint(start, end):
    return {
        t for a, b in zip(start.tolist(), end.tolist(), strict=True) for t in range(a, b)
    }


def is_disjoint(x: Intervals) -> bool:
    return bool((x.end > x.start).all() and (x.start[1:] >= x.end[:-1]).all())


@given(spans)
def test_union_covers_the_same_and_joins_what_touches(pairs):
    start, end = columns(pairs)
    got = intervals.union(start, end)
    assert is_disjoint(got)
    assert (got.start[1:] > got.end[:-1]).all()
    assert paint(*got) == paint(start, end)
    assert got.measure == len(paint(start, end))
    between = intervals.gaps(got, 0, END)
    assert is_disjoint(between)
    assert paint(*between) == set(range(END)) - paint(*got)


@given(spans, st.integers(0, 10))
def test_join_closes_only_short_gaps(pairs, slack):
    plain = intervals.union(*columns(pairs))
    joined = intervals.join(plain, slack)
    short = [t for a, b in zip(*intervals.gaps(plain, *(plain.start[0], plain.end[-1])), strict=True) if b - a < slack
             for t in range(a, b)] if len(plain.start) else []  # fmt: skip
    assert paint(*joined) == paint(*plain) | set(short)


@given(spans, spans)
def test_two_sets(left, right):
    a, b = intervals.union(*columns(left)), intervals.union(*columns(right))
    assert paint(*intervals.subtract(a, b)) == paint(*a) - paint(*b)
    shared = intervals.overlaps(a, b)
    assert paint(shared.start, shared.end) == paint(*a) & paint(*b)
    for i, j, start, end in zip(*(x.tolist() for x in shared), strict=True):
        assert start == max(a.start[i], b.start[j])
        assert end == min(a.end[i], b.end[j])
    times = np.arange(END + 1)
    assert set(times[intervals.covers(a, times)].tolist()) == paint(*a)
    assert paint(*intervals.clip(a, 10, 40)) == {t for t in paint(*a) if 10 <= t < 40}


@given(spans)
def test_innermost_is_the_one_that_started_last(pairs):
    start, end = columns(pairs)
    pieces, owner = intervals.innermost(start, end)
    assert is_disjoint(pieces)
    got = {
        t: o
        for a, b, o in zip(pieces.start, pieces.end, owner.tolist(), strict=True)
        for t in range(a, b)
    }
    for t in range(END):
        open_now = [i for i in range(len(pairs)) if pairs[i][0] <= t < pairs[i][1]]
        if not open_now:
            assert t not in got
        else:
            latest = max(pairs[i][0] for i in open_now)
            first_to_end = min(pairs[i][1] for i in open_now if pairs[i][0] == latest)
            assert pairs[got[t]] == (latest, first_to_end)


@given(spans, spans)
def test_an_interval_meets_a_set_where_they_share_time(some, others):
    start, end = columns(some)
    disjoint = intervals.union(*columns(others))
    painted = paint(*disjoint)
    shares = [bool(set(range(low, high)) & painted) for low, high in some]
    assert intervals.meets(start, end, disjoint).tolist() == shares
