"""What the name of a step's span says of its work: requests, tokens and context."""

from __future__ import annotations

import re
from typing import NamedTuple

from idlescope.trace.names.own_engine import WATCHED_STEP

NOT_KNOWN = -1

# No step has 10^15 of anything: a name with such a number states nothing, and its sums would wrap.
_BEYOND_COUNTING = re.compile(r"\d{16}")

# vLLM's worker, by version (`annotate_profile`): numbers of requests, or of requests and tokens;
# ROCm's gives sums of query and key lengths, of query lengths squared, and of their products.
_VLLM_REQUESTS = re.compile(r"^execute_new_(?P<new>\d+)_cached_(?P<cached>\d+)")
_VLLM_TOKENS = re.compile(
    r"^execute_(?:\d+_)?context_(?P<prompts>\d+)\((?P<prompt_lengths>[^)]*)\)"
    r"_generation_(?P<decodes>\d+)\((?P<decode_lengths>[^)]*)\)"
)
_VLLM_LENGTHS = re.compile(
    r"^sq(?P<queries>\d+)sk(?P<keys>\d+)sqsq(?P<queries_squared>\d+)sqsk(?P<products>\d+)$"
)
# SGLang's says what it runs; with detailed annotations also the same sums, those of prompts (c_)
# and those of decodes (g_) apart (`build_step_span_name`).
_SGLANG = re.compile(r"^step\[(?P<mode>\w+) bs=(?P<batch>\d+)(?P<details>[^\]]*)")
_SGLANG_TOKENS = re.compile(r"\btok(?:en)?s=(\d+)")
_SGLANG_SHARES = re.compile(r"\bc=(?P<prompts>\d+) g=(?P<decodes>\d+)")
_SGLANG_LENGTHS = re.compile(r"\b[cg]_(sq|sk|sqsq|sqsk)=(\d+)")
_SGLANG_PROMPTS = ("EXTEND", "SPLIT_PREFILL", "DLLM_EXTEND")
# TensorRT-LLM's PyExecutor
_TRTLLM = re.compile(
    r"^\[Executor\] _forward_step \d+: (?P<prompts>\d+) ctx reqs, "
    r"(?P<prompt_tokens>\d+) ctx tokens, (?P<decodes>\d+) gen reqs"
)
_WATCHED = re.compile(WATCHED_STEP)


class StatedWork(NamedTuple):
    """What the name of a span says of its step; -1 where it does not say."""

    sampled: int = NOT_KNOWN  # requests, each of which yields a token
    tokens: int = NOT_KNOWN  # query tokens
    context: int = NOT_KNOWN  # cached tokens read, over the batch
    pairs: int = NOT_KNOWN  # (query, key) pairs that attention scores
    prompts: int = NOT_KNOWN  # requests whose prompt, or a part of it, is computed
    decodes: int = NOT_KNOWN  # requests that decode


def parse(name: str) -> StatedWork | None:
    """Return what a span's name says of its step; None where it is not a known engine's."""
    return None if _BEYOND_COUNTING.search(name) else _parsed(name)


def _parsed(name: str) -> StatedWork | None:
    if match := _SGLANG.match(name):
        return _of_sglang(match)
    if match := _VLLM_REQUESTS.match(name):
        new, cached = int(match["new"]), int(match["cached"])
        tokens = NOT_KNOWN if new else cached
        return StatedWork(sampled=new + cached, tokens=tokens, prompts=new, decodes=cached)
    if match := _VLLM_TOKENS.match(name):
        return _of_vllm(match)
    if match := _TRTLLM.match(name):
        return _of_trtllm(match)
    if match := _WATCHED.match(name):
        return _of_watch(match)
    return None


def _of_watch(match: re.Match[str]) -> StatedWork:
    """Return the work in `idlescope:step[decode requests=32 tokens=32]`, as a watch was told it.

    Of a step of both prompts and decodes it was not told how many are which: one at least is.
    """
    kind, requests, tokens = match["kind"], int(match["requests"]), int(match["tokens"])
    if kind == "empty":
        return StatedWork(sampled=0, tokens=0, context=0, pairs=0, prompts=0, decodes=0)
    if not requests:
        return StatedWork()
    known = {"prefill": (requests, 0), "decode": (0, requests), "mixed": (1, requests - 1)}
    prompts, decodes = known.get(kind, (NOT_KNOWN, NOT_KNOWN))
    return StatedWork(sampled=requests, tokens=tokens, prompts=prompts, decodes=decodes)


def _of_sglang(match: re.Match[str]) -> StatedWork:
    """Return the work in `step[DECODE bs=32]` or `step[EXTEND bs=2 toks=700]`.

    A batch of the mode IDLE has no request: a data-parallel rank runs it to take part in the
    collectives of the others.
    """
    mode, batch, details = match["mode"], int(match["batch"]), match["details"]
    if mode == "IDLE":
        return StatedWork(sampled=0, tokens=0, context=0, pairs=0, prompts=0, decodes=0)
    tokens = batch if mode == "DECODE" else NOT_KNOWN
    prompts, decodes = (batch, 0) if mode in _SGLANG_PROMPTS else (0, batch)
    if mode == "MIXED":
        shares = _SGLANG_SHARES.search(details)
        # A mixed batch has at least one request of each sort.
        prompts, decodes = map(int, shares.groups()) if shares else (1, batch - 1)
    if stated := _SGLANG_TOKENS.search(details):
        tokens = int(stated[1])

    lengths: dict[str, int] = {}
    for length, number in _SGLANG_LENGTHS.findall(details):
        lengths[length] = lengths.get(length, 0) + int(number)
    context = pairs = NOT_KNOWN
    if lengths.keys() >= {"sk", "sqsq", "sqsk"}:
        tokens = lengths.get("sq", tokens)
        context = lengths["sk"]
        pairs = _seen_pairs(lengths["sqsk"], lengths["sqsq"])
    return StatedWork(batch, tokens, context, pairs, prompts, decodes)


def _of_vllm(match: re.Match[str]) -> StatedWork:
    """Return the work in `execute_context_2(500)_generation_30(30)`: of prompts and of decodes."""
    prompts = _vllm_lengths(match["prompt_lengths"])
    decodes = _vllm_lengths(match["decode_lengths"])
    return StatedWork(
        sampled=int(match["prompts"]) + int(match["decodes"]),
        tokens=_sum(prompts.tokens, decodes.tokens),
        context=_sum(prompts.context, decodes.context),
        pairs=_sum(prompts.pairs, decodes.pairs),
        prompts=int(match["prompts"]),
        decodes=int(match["decodes"]),
    )


def _of_trtllm(match: re.Match[str]) -> StatedWork:
    """Return the work in `[Executor] _forward_step 7: 1 ctx reqs, 500 ctx tokens, 30 gen reqs`."""
    prompts, prompt_tokens, decodes = map(int, match.groups())
    return StatedWork(
        sampled=prompts + decodes,
        tokens=prompt_tokens + decodes,
        prompts=prompts,
        decodes=decodes,
    )


def _sum(left: int, right: int) -> int:
    return NOT_KNOWN if min(left, right) < 0 else left + right


def _vllm_lengths(text: str) -> StatedWork:
    """Return the tokens, context and pairs of one kind of requests, from between the brackets."""
    if match := _VLLM_LENGTHS.match(text):
        return StatedWork(
            tokens=int(match["queries"]),
            context=int(match["keys"]),
            pairs=_seen_pairs(int(match["products"]), int(match["queries_squared"])),
        )
    number = text.partition("_")[0]
    if not number.isdecimal():
        return StatedWork()
    if int(number) == 0:
        return StatedWork(tokens=0, context=0, pairs=0)
    return StatedWork(tokens=int(number))


def _seen_pairs(products: int, queries_squared: int) -> int:
    """Return the pairs of queries and keys that attention scores.

    A query sees the keys before it: of its own prompt's, half.
    """
    return products - queries_squared // 2
