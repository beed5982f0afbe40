"""How much each step had to do, as the names of its spans or the user say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.trace.model import RangeKind
from idlescope.trace.table import Bool, Int64

NOT_KNOWN = -1

# vLLM's worker, by version (`annotate_profile`): numbers of requests, or of requests and tokens;
# ROCm's gives sums of query and key lengths, of query lengths squared, and of their products.
_VLLM_REQUESTS = re.compile(r"^execute_new_(?P<new>\d+)_cached_(?P<cached>\d+)")
_VLLM_TOKENS = re.compile(
    r"^execute_(?:\d+_)?context_(?P<prompts>\d+)\((?P<prompt_lengths>[^)]*)\)"
    r"_generation_(?P<decodes>\d+)\((?P<decode_lengths>[^)]*)\)"
)
_LENGTHS = re.compile(
    r"^sq(?P<queries>\d+)sk(?P<keys>\d+)sqsq(?P<queries_squared>\d+)sqsk(?P<products>\d+)$"
)
# SGLang's says what it runs.
_SGLANG = re.compile(r"^step\[(?P<mode>\w+) bs=(?P<batch>\d+)(?:[, ]+tok(?:en)?s=(?P<tokens>\d+))?")


class Architecture(Protocol):
    """What of a model a roofline needs (`models.architecture.Model`)."""

    @property
    def name(self) -> str:
        """Return what the model is called."""

    def step_bytes(self, context: int) -> int:
        """Return the fewest bytes a step must move, for so many cached tokens over the batch."""

    def step_flops(self, tokens: int, sampled: int, pairs: int) -> float:
        """Return the floating-point operations of a step."""


class StatedWork(NamedTuple):
    """What the name of a span says of its step; -1 where it does not say."""

    sampled: int = NOT_KNOWN  # requests, each of which yields a token
    tokens: int = NOT_KNOWN  # query tokens
    context: int = NOT_KNOWN  # cached tokens read, over the batch
    pairs: int = NOT_KNOWN  # (query, key) pairs that attention scores


@dataclass(frozen=True)
class Work:
    """The work of each step, with the columns of `StatedWork`; -1 where it is not known."""

    sampled: Int64
    tokens: Int64
    context: Int64
    pairs: Int64

    @property
    def known(self) -> Bool:
        """Return for which steps it is known how many tokens they worked on."""
        return np.asarray(self.tokens > 0, np.bool_)


def steps_work(
    device: MeasuredDevice, batch_size: int | None = None, context: int | None = None
) -> Work | None:
    """Return what each step had to do; None where neither span names nor the user say.

    `batch_size` requests decode in each step whose spans say nothing, with `context` cached tokens
    each.
    """
    columns = _stated(device)
    if batch_size is not None:
        tokens_unknown = columns[:, 1] < 0
        columns[tokens_unknown, :2] = batch_size
    sampled, tokens, cached, pairs = columns.T
    if not (tokens > 0).any():
        return None
    if context is not None:
        cached = np.where(cached < 0, sampled * context, cached)
    one_query_per_request = tokens == sampled
    pairs = np.where((pairs < 0) & one_query_per_request, cached, pairs)
    return Work(sampled, tokens, cached, pairs)


def _stated(device: MeasuredDevice) -> Int64:
    """Return what span names say of each step: a row per step, with the columns of `StatedWork`."""
    trace, steps = device.view.trace, device.steps
    columns = np.full((len(steps), len(StatedWork._fields)), NOT_KNOWN, np.int64)
    ranges = trace.ranges.take(trace.ranges.kind == RangeKind.ANNOTATION)
    ranges = ranges.take(trace.threads_of(device.view.process)[ranges.thread])
    work_of_name = {
        name: work
        for name in np.unique(ranges.name).tolist()
        if (work := parse(trace.names[name])) is not None
    }
    ranges = ranges.take(np.isin(ranges.name, list(work_of_name)))
    step_row = np.searchsorted(steps.start, ranges.start, "right") - 1
    for name, row in zip(ranges.name.tolist(), step_row.tolist(), strict=True):
        if row >= 0:
            columns[row] = work_of_name[name]
    return columns


def parse(name: str) -> StatedWork | None:
    """Return what a span's name says of its step; None where it is not a known engine's."""
    if match := _SGLANG.match(name):
        return _of_sglang(match)
    if match := _VLLM_REQUESTS.match(name):
        new, cached = int(match["new"]), int(match["cached"])
        return StatedWork(sampled=new + cached, tokens=NOT_KNOWN if new else cached)
    if match := _VLLM_TOKENS.match(name):
        return _of_vllm(match)
    return None


def _of_sglang(match: re.Match[str]) -> StatedWork:
    """Return the work in `step[DECODE bs=32]` or `step[EXTEND bs=2 toks=700]`."""
    batch = int(match["batch"])
    if match["tokens"]:
        return StatedWork(batch, int(match["tokens"]))
    return StatedWork(batch, batch if match["mode"] == "DECODE" else NOT_KNOWN)


def _of_vllm(match: re.Match[str]) -> StatedWork:
    """Return the work in `execute_context_2(500)_generation_30(30)`: of prompts and of decodes."""
    prompts = _lengths(match["prompt_lengths"])
    decodes = _lengths(match["decode_lengths"])
    return StatedWork(
        sampled=int(match["prompts"]) + int(match["decodes"]),
        tokens=_sum(prompts.tokens, decodes.tokens),
        context=_sum(prompts.context, decodes.context),
        pairs=_sum(prompts.pairs, decodes.pairs),
    )


def _sum(left: int, right: int) -> int:
    return NOT_KNOWN if min(left, right) < 0 else left + right


def _lengths(text: str) -> StatedWork:
    """Return the tokens, context and pairs of one kind of requests, from between the brackets."""
    if match := _LENGTHS.match(text):
        # A query sees the keys before it: of its own prompt's, half.
        unseen = int(match["queries_squared"]) // 2
        return StatedWork(
            tokens=int(match["queries"]),
            context=int(match["keys"]),
            pairs=int(match["products"]) - unseen,
        )
    number = text.partition("_")[0]
    if not number.isdecimal():
        return StatedWork()
    if int(number) == 0:
        return StatedWork(tokens=0, context=0, pairs=0)
    return StatedWork(tokens=int(number))
