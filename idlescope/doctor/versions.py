"""Versions as numbers that compare."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def numbers(version: str) -> Version:
    """Return the numbers that a version begins with: (2, 11, 0) of 2.11.0+cu130 or 2.11.0a0."""
    leading_numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading_numbers[0].split("."))) if leading_numbers else ()


def dotted(version: Version) -> str:
    """Return numbers as a version is written."""
    return ".".join(map(str, version))
