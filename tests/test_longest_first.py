"""The longest files of tests go first, whatever is asked for; each is there."""

from __future__ import annotations

from types import SimpleNamespace

from tests.conftest import PLACES, pytest_collection_modifyitems


def test_each_is_a_file():
    assert [path for path in PLACES if not path.is_file()] == []


def test_they_go_first_and_tests_of_a_file_keep_their_order():
    longest, other = next(iter(PLACES)), next(iter(PLACES)).with_name("test_other.py")
    items = [
        SimpleNamespace(path=path, number=n) for n, path in enumerate((other, longest) * 3)
    ]
    pytest_collection_modifyitems(items)
    assert [item.number for item in items] == [1, 3, 5, 0, 2, 4]
