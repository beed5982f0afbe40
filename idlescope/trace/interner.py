"""A growing table of distinct values, for columns that store indices instead of text."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)


class Interner(Generic[Key]):
    """Gives each distinct value the next integer, its code, in order of first appearance."""

    def __init__(self) -> None:
        self._codes: dict[Key, int] = {}

    def code(self, value: Key) -> int:
        """Return the code of one value; a value that is new is added."""
        return self._codes.setdefault(value, len(self._codes))

    def codes(self, values: Iterable[Key]) -> NDArray[np.int32]:
        """Return the codes of many values as an int32 array of the same length."""
        # bound to a local name: this loop runs once for each record of a trace
        known_codes = self._codes
        return np.array(
            [known_codes.setdefault(value, len(known_codes)) for value in values], np.int32
        )

    def __len__(self) -> int:
        return len(self._codes)

    def values(self) -> tuple[Key, ...]:
        """Return the distinct values; a value's code is its index."""
        return tuple(self._codes)
