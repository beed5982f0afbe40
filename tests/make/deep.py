"""How thorough the tests are: quick as a rule, with every example and whole traces in `deep`."""

from __future__ import annotations

import os

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


def of(quick: int, deep: int) -> int:
    """How many examples or trials decide: the first as a rule, the second with the profile `deep`."""
    return deep if DEEP else quick
