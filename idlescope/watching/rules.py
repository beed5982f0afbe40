"""Rules such as `idle > 10% for 30s`: when a recording is made by itself.

What is compared is the mean over the whole time: idle as a share of the time with requests, as
`idlescope watch` and the alert rules have it, or the length of a step. Idle for want of requests is
`no demand`, a share of all the time, and counts as none other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from idlescope.errors import ConfigError
from idlescope.watching.history import History, SecondRow
from idlescope.watching.state import HISTORY_S, IDLE_CAUSES, NO_DEMAND

SHARES = ("idle", *IDLE_CAUSES)
STEP = "step"
RULE = re.compile(
    r"^\s*(?P<what>[a-z ]+?)\s*(?P<sign>[<>])\s*(?P<limit>\d+(\.\d+)?)\s*(?P<unit>%|ms)\s*"
    r"(for\s+(?P<time>\d{1,9})\s*s)?\s*$"
)
DEFAULT_S = 10
MOST_S = HISTORY_S - 2
KNOWN_SHARE = 0.9  # of the time must be accounted for
PAUSE_NS = 60_000_000_000  # after a rule has fired


@dataclass(frozen=True)
class Rule:
    """One condition. Raises ConfigError, in `parse`, for one that makes no sense."""

    what: str  # of SHARES, or STEP
    above: bool
    limit: float  # per cent, or ms
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule that a text says."""
        match = RULE.match(text.lower())
        asked = match["what"] if match else ""
        unit = "ms" if asked == STEP else "%"
        known = match is not None and asked in (*SHARES, STEP) and match["unit"] == unit
        seconds = int(match["time"] or DEFAULT_S) if match else 0
        if match is None or not known or not 1 <= seconds <= MOST_S:
            raise ConfigError(
                f"{text!r} is no rule: write such as `idle > 10% for 30s` or `step > 20ms`, "
                f"of {', '.join(SHARES)} (%) or step (ms), for at most {MOST_S} s"
            )
        return cls(asked, match["sign"] == ">", float(match["limit"]), seconds)

    def value(self, rows: list[SecondRow]) -> float | None:
        """Return what is compared, over some seconds; None where too little is known."""
        if self.what == STEP:
            steps = sum(row.steps for row in rows)
            return sum(row.step_ns for row in rows) / steps / 1e6 if steps else None
        watched = sum(row.watched_ns for row in rows)
        if watched < KNOWN_SHARE * self.seconds * 1e9:
            return None
        idle = sum(
            time_ns
            for row in rows
            for cause, time_ns in row.idle_ns.items()
            if cause == self.what or (self.what == "idle" and cause != NO_DEMAND)
        )
        # Without requests there is no idle time that a rule could be about.
        quiet = sum(row.idle_ns.get(NO_DEMAND, 0) for row in rows)
        counted = watched if self.what == NO_DEMAND else watched - quiet
        return 100.0 * idle / counted if counted else None

    def holds(self, history: History, until_ns: int) -> bool:
        """Return whether it holds over the last seconds before a time of the steady clock."""
        value = self.value(history.last(self.seconds, until_ns))
        if value is None:
            return False
        return value > self.limit if self.above else value < self.limit


class Trigger:
    """Fires once each time that a rule begins to hold, with a pause between."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._held = False
        self._quiet_until = 0

    def fires(self, history: History, until_ns: int) -> bool:
        """Return whether it fires now."""
        holds = self._rule.holds(history, until_ns)
        begins = holds and not self._held and until_ns >= self._quiet_until
        if begins:
            self._quiet_until = until_ns + PAUSE_NS
        self._held = holds and (self._held or begins)
        return begins
