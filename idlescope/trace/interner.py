"""A growing table of distinct values, for columns that store indices instead of text."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)


class Interner(Generic[Key]):
    """Gives each distinct value the next integer, in order of first appearance."""

    def __init__(self) -> None:
        self._codes: dict[Key, int] = {}

    def code(self, value: Key) -> int:
        """Return the index of one value, adding it where it is new."""
        return self._codes.setdefault(value, len(self._codes))

    def codes(self, values: Iterable[Key]) -> NDArray[np.int32]:
        """Return the indices of many values as an int32 array."""
        known = self._codes
        return np.array([known.setdefault(v, len(known)) for v in values], np.int32)

    def __len__(self) -> int:
        return len(self._codes)

    def values(self) -> tuple[Key, ...]:
        """Return the distinct values in the order of their indices."""
        return tuple(self._codes)
