"""What our own engine calls its phases, its modes and its counters."""

from __future__ import annotations

# Our own engine's phases, in the order of a step.
ENGINE_PHASES = ("schedule", "prepare", "submit", "retrieve", "update")
DEPTHS = {"sync": 1, "async": 2}  # its modes: steps in flight

WATCHED = "idlescope watch"  # the `source` of a watch's recordings

# A step as a watch records it, and what its name says.
WATCHED_STEP = (
    r"^idlescope:step\[(?P<kind>[a-z ]+) "
    r"requests=(?P<requests>\d+) tokens=(?P<tokens>\d+)\]$"
)

WAIT_CALL = "event.synchronize"  # what the host's wait for tokens is called

# Its counters after each step.
RUNNING = "requests running"
WAITING = "requests waiting"
FREE_BLOCKS = "free KV blocks"
TOKENS = "tokens"

# Its counters of single requests, whose id is the value.
FIRST_TOKEN = "first token"  # noqa: S105
AT_LIMIT = "ended at its limit"
BY_STOP = "stopped by itself"
OF_REQUESTS = (FIRST_TOKEN, AT_LIMIT, BY_STOP)
