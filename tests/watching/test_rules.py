"""A rule holds over a time, fires once, and says what it does not understand."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.analysis.intervals import Intervals
from idlescope.errors import ConfigError
from idlescope.watching.history import SECOND, History
from idlescope.watching.rules import PAUSE_NS, Rule, Trigger


def history(seconds: int, idle_pct: int, cause: str = "host", first: int = 100) -> History:
    """Return a history of so many seconds that are all alike."""
    made = History()
    for second in range(first, first + seconds):
        low, high = second * SECOND, (second + 1) * SECOND
        cut = low + idle_pct * SECOND // 100
        idle = {cause: Intervals(np.array([low]), np.array([cut]))}
        made.add_device(low, high, Intervals(np.array([cut]), np.array([high])), idle)
        steps = {"end": np.array([low + 5]), "start": np.array([low - 20_000_000 + 5])}
        made.add_steps({**steps, "tokens": np.array([3])})
    return made


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("idle > 10% for 30s", True),
        ("idle > 20% for 30s", False),
        ("idle < 20 % for 5 s", True),
        ("host > 10%", True),
        ("launch > 1% for 3s", False),
        ("step > 19ms for 10s", True),
        ("step > 21 ms", False),
    ],
)
def test_what_is_compared_is_the_mean_over_the_time(text, holds):
    assert Rule.parse(text).holds(history(60, 15), 160 * SECOND) is holds


def test_a_time_that_is_not_known_in_full_tells_nothing():
    assert not Rule.parse("idle > 10% for 30s").holds(history(20, 15), 120 * SECOND)


def test_idle_for_want_of_requests_is_another_thing():
    quiet = history(60, 50, "no demand")
    assert not Rule.parse("idle > 10% for 30s").holds(quiet, 160 * SECOND)
    assert Rule.parse("no demand > 10% for 30s").holds(quiet, 160 * SECOND)


def test_it_fires_once_as_long_as_it_holds_and_again_after_a_pause():
    trigger = Trigger(Rule.parse("idle > 10% for 10s"))
    high, low = history(60, 50), history(60, 1)
    now = 160 * SECOND
    assert [trigger.fires(high, now) for _ in range(3)] == [True, False, False]
    assert not trigger.fires(low, now)
    assert not trigger.fires(high, now)  # too early
    later = 160 * SECOND + PAUSE_NS
    assert trigger.fires(history(60, 50, first=later // SECOND - 60), later)


@pytest.mark.parametrize(
    "text", ["", "idle", "idle > 10", "step > 10%", "idle > 10ms", "x > 1%", "idle > 1% for 1h",
             "idle > 1% for 0s", "idle > 1% for 999s"],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="idle > 10% for 30s"):
        Rule.parse(text)
