"""What our own engine calls its phases, its modes and its counters."""

from __future__ import annotations

# Our own engine's phases, in the order of a step (README.md, "The engine's loop").
ENGINE_PHASES = ("schedule", "prepare", "submit", "retrieve", "update")
DEPTHS = {"sync": 1, "async": 2}  # its modes: steps in flight
# Its samples after each step, and of requests, whose id is the value:
RUNNING, WAITING, FREE_BLOCKS, TOKENS = (
    "requests running",
    "requests waiting",
    "free KV blocks",
    "tokens",
)
FIRST_TOKEN, AT_LIMIT, BY_STOP = "first token", "ended at its limit", "stopped by itself"
OF_REQUESTS = (FIRST_TOKEN, AT_LIMIT, BY_STOP)
