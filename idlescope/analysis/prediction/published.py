"""Idle and host work that other engines were measured at, each with its source.

They are drawn as points beside a run's own curve. All are of one model, batch and GPU. Idle is
compute idle. Where no host time was taken down, that of a synchronous loop is its idle per step
(what it hides, and the wake-up in the gap, are not known); its asynchronous loop does the same
host work.
"""

from __future__ import annotations

from dataclasses import dataclass

from idlescope.trace.model import Trace

MODEL, ROWS, GPU = "Llama-3.1-8B", 32, "h200"  # as a recording's metadata names them


@dataclass(frozen=True)
class Point:
    """One measured loop; the figures are means per step."""

    name: str
    mode: str  # "sync", "async"; "" where it is not known which was meant
    host_ms: float  # host work, hidden or not; waiting for the device is none
    device_ms: float
    idle_pct: float
    source: str


POST = (
    "Hugging Face, Unlocking asynchronicity in continuous batching, 2026-05-14; "
    "host: synchronous idle"
)
VARLEN = (
    "256 + 8,192 tokens, CUDA events, 2026-11-23 (README, Measured); host: synchronous idle"
)
PAGED = (
    "256 + 512 tokens, idlescope run --engine transformers, reports/h200/transformers.json"
)
OURS = "256 + 8,192 tokens, reports/h200/published/summary.json"

# The post: 300.6 s at 76.0 % active and 234.5 s at 99.4 %, 8,192 steps each. Varlen: 481.67 s at
# 76.6 % and 375.59 s at 99.9 %, 8,192 steps each.
POINTS = (
    Point("transformers, as published", "sync", 8.81, 27.89, 24.0, POST),
    Point("transformers, as published", "async", 8.81, 28.45, 0.6, POST),
    Point("transformers 5.17, varlen", "sync", 13.76, 45.04, 23.4, VARLEN),
    Point("transformers 5.17, varlen", "async", 13.76, 45.80, 0.1, VARLEN),
    Point("transformers 5.17, paged", "sync", 2.073, 8.995, 15.122, PAGED),
    Point("transformers 5.17, paged", "async", 2.813, 9.018, 0.126, PAGED),
    Point("idlescope, measured", "sync", 0.528, 8.940, 8.173, OURS),
    Point("idlescope, measured", "async", 0.565, 8.978, 0.015, OURS),
)

# Synchronous, then asynchronous: the engine that a run's verdict holds its own steps against.
HEADLINE = POINTS[:2]
# Its host works on every token in the KV cache, in each step: what it takes grows with them. Of
# the post they were 32 rows of about 4,350 tokens.
CACHED_TOKENS = ROWS * 4_352
# Measured with transformers 5.17 at contexts of 384 to 8,320 tokens (reports/accuracy.md): a line
# through the gaps per step meets no context at 0.36 of 13.76 ms.
FIXED_SHARE = 0.026
# How it grows was measured with as many; beyond them nothing is said.
FEWEST_CACHED, MOST_CACHED = ROWS * 384, ROWS * 8_320
# What is within so much of the published size is not scaled: the figures stay the published ones.
SAME_SIZE = 0.05


def tells_of(cached_tokens: float) -> bool:
    """Return whether it is known how long the headline's host takes for so many cached tokens."""
    return FEWEST_CACHED <= cached_tokens <= MOST_CACHED


def gap_ms(cached_tokens: float) -> float:
    """Return how long the device waits per step for the headline's host, in ms.

    `cached_tokens` are those in the KV cache in a step, of all rows.
    """
    times_published = cached_tokens / CACHED_TOKENS
    if abs(times_published - 1.0) <= SAME_SIZE:
        return HEADLINE[0].host_ms
    return HEADLINE[0].host_ms * (FIXED_SHARE + (1.0 - FIXED_SHARE) * times_published)


def beside(trace: Trace) -> tuple[Point, ...]:
    """Return the points that belong beside a trace: all, where model, batch and GPU are theirs."""
    recorded = (trace.meta.model, trace.meta.rows, trace.meta.gpu)
    return POINTS if recorded == (MODEL, ROWS, GPU) else ()
