"""How much each step had to do, as the names of its spans or the user say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Bool, Int64

# vLLM's worker, by version (`annotate_profile`): numbers of requests, or of requests and tokens; ROCm's gives sums of
# query and key lengths, of query lengths squared, and of their products. SGLang's says what it runs.
_VLLM_REQUESTS = re.compile(r"^execute_new_(\d+)_cached_(\d+)")
_VLLM_TOKENS = re.compile(r"^execute_(?:\d+_)?context_(\d+)\(([^)]*)\)_generation_(\d+)\(([^)]*)\)")
_LENGTHS = re.compile(r"^sq(\d+)sk(\d+)sqsq(\d+)sqsk(\d+)$")
_SGLANG = re.compile(r"^step\[(\w+) bs=(\d+)(?:[, ]+tok(?:en)?s=(\d+))?")


class Architecture(Protocol):
    """What of a model a roofline needs (`engine.models.Model`)."""

    @property
    def name(self) -> str:
        """Return what the model is called."""

    def step_bytes(self, context: int) -> int:
        """Return the fewest bytes a step must move, for so many cached tokens over the batch."""

    def step_flops(self, tokens: int, sampled: int, pairs: int) -> float:
        """Return the floating-point operations of a step."""


@dataclass(frozen=True)
class Work:
    """One row a step; -1 where it is not known."""

    sampled: Int64  # requests, each of which yields a token
    tokens: Int64  # query tokens
    context: Int64  # cached tokens read, over the batch
    pairs: Int64  # (query, key) pairs that attention scores

    @property
    def known(self) -> Bool:
        """Return for which steps it is known how many tokens they worked on."""
        return np.asarray(self.tokens > 0, np.bool_)


def steps_work(
    trace: Trace, result: MeasuredDevice, batch_size: int | None = None, context: int | None = None
) -> Work | None:
    """Return what each step had to do; None where neither span names nor the user say.

    `batch_size` requests decode in each step whose spans say nothing, with `context` cached tokens each.
    """
    steps = result.steps
    columns = np.full((len(steps), 4), -1, np.int64)
    ranges = trace.ranges.take(trace.ranges.kind == RangeKind.ANNOTATION)
    ranges = ranges.take(trace.threads_of(result.device.process)[ranges.thread])
    said = {
        i: parsed
        for i in np.unique(ranges.name).tolist()
        if (parsed := parse(trace.names[i])) is not None
    }
    ranges = ranges.take(np.isin(ranges.name, list(said)))
    for name, row in zip(
        ranges.name, np.searchsorted(steps.start, ranges.start, "right") - 1, strict=True
    ):
        if row >= 0:
            columns[row] = said[int(name)]
    if batch_size is not None:
        columns[columns[:, 1] < 0, :2] = batch_size
    sampled, tokens, cached, pairs = columns.T
    if not (tokens > 0).any():
        return None
    if context is not None:
        cached = np.where(cached < 0, sampled * context, cached)
    pairs = np.where((pairs < 0) & (tokens == sampled), cached, pairs)  # one query a request
    return Work(sampled, tokens, cached, pairs)


def parse(name: str) -> tuple[int, int, int, int] | None:
    """Return what a span's name says of its step: sampled, tokens, context, pairs, each -1 where it does not say."""
    if match := _SGLANG.match(name):
        rows, tokens = int(match[2]), match[3]
        return rows, int(tokens) if tokens else rows if match[1] == "DECODE" else -1, -1, -1
    if match := _VLLM_REQUESTS.match(name):
        new, cached = int(match[1]), int(match[2])
        return new + cached, -1 if new else cached, -1, -1
    if match := _VLLM_TOKENS.match(name):
        both = zip(_lengths(match[2]), _lengths(match[4]), strict=True)
        tokens, context, pairs = (-1 if a < 0 or b < 0 else a + b for a, b in both)
        return int(match[1]) + int(match[3]), tokens, context, pairs
    return None


def _lengths(text: str) -> tuple[int, int, int]:
    """Return tokens, context and pairs of one kind of requests, from between the brackets; -1 where it does not say."""
    if match := _LENGTHS.match(text):
        tokens, context, square, product = (int(match[i]) for i in (1, 2, 3, 4))
        return (
            tokens,
            context,
            product - square // 2,
        )  # a query sees the keys before it: of a prompt's own, half
    number = text.partition("_")[0]
    if not number.isdecimal():
        return -1, -1, -1
    return (int(number), -1, -1) if int(number) else (0, 0, 0)
