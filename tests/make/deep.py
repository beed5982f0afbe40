"""How thorough the tests are: quick as a rule, with every example and every real trace in `deep`.

.ci/run tests with `deep`. Both try the same examples each time, so that a change passes or fails for
what it does. `search` tries other examples each time, and ten times as many, and takes the largest
real traces whole: what it finds becomes a test of its own.
"""

from __future__ import annotations

import os

PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or "quick"
DEEP = PROFILE in ("deep", "search")
SEARCH = PROFILE == "search"


def of(quick: int, deep: int) -> int:
    """How many examples or trials decide: as a rule, with the profile `deep`, and in a search."""
    if SEARCH:
        return 10 * deep
    return deep if DEEP else quick
