"""Which versions of an engine its hooks were read for."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Known(NamedTuple):
    """The versions of a package whose methods the hooks are made for."""

    package: str
    first: tuple[int, ...]  # the first that was read
    before: tuple[int, ...]  # the first that was not

    def holds(self, found: str) -> bool:
        """Return whether a version is one of them."""
        numbers = release(found)
        return bool(numbers) and self.first <= numbers < self.before

    def __str__(self) -> str:
        first, before = (".".join(map(str, part)) for part in (self.first, self.before))
        return f"{self.package} from {first} on, before {before}"


# Read in 0.24.0 and 0.33.0, and in 0.5.13 and 0.5.23, in November 2026.
VLLM = Known("vllm", (0, 24), (0, 34))
SGLANG = Known("sglang", (0, 5, 13), (0, 6))
TRANSFORMERS = Known("transformers", (5, 17), (6,))


def installed(package: str) -> str:
    """Return the version of a package; "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def release(found: str) -> tuple[int, ...]:
    """Return the numbers of a version's release: (0, 24, 0) of 0.24.0rc1+cu130."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", found)
    return tuple(map(int, match[1].split("."))) if match else ()
