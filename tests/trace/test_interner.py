"""Each distinct value gets the next code, in order of first appearance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace.interner import Interner


@given(st.lists(st.text(max_size=3)))
def test_codes_are_indices_of_the_distinct_values(texts):
    interner: Interner[str] = Interner()
    codes = interner.codes(texts)
    assert interner.values() == tuple(dict.fromkeys(texts))
    assert [interner.values()[code] for code in codes] == texts
    assert [interner.code(text) for text in texts] == codes.tolist()
    assert len(interner) == len(set(texts))
