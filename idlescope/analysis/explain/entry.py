"""What is said of one word."""

from __future__ import annotations

from enum import Enum

import msgspec


class WordKind(str, Enum):
    """Where a word of a result stands."""

    VERDICT = "verdict"  # of a device
    RANKS = "verdict of ranks"
    CAUSE = "cause"  # of a gap
    HOST = "host"  # what the host did during `host` idle
    BATCHING = "batching"
    SPREAD = "spread"  # how idle is spread over the steps
    COMPARISON = "comparison"  # of recordings
    TERM = "term"  # a number, or what numbers are of

    def __str__(self) -> str:
        return self.value


class Usually(msgspec.Struct, frozen=True, kw_only=True):
    """What usually causes it, by whose loop it is."""

    vllm: str
    sglang: str
    trtllm: str  # TensorRT-LLM
    own: str  # a loop of one's own

    def by_loop(self) -> dict[str, str]:
        """Return the texts by the names that people give these engines."""
        return {
            "vLLM": self.vllm,
            "SGLang": self.sglang,
            "TensorRT-LLM": self.trtllm,
            "a loop of your own": self.own,
        }


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One word, explained."""

    name: str
    kinds: tuple[WordKind, ...]
    means: str
    measured: str
    usually: Usually | None = None  # none for what has no cause: a definition
    do: str = ""
    also: tuple[str, ...] = ()  # other words for it
    see: tuple[str, ...] = ()  # names of other entries
