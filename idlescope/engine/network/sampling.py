"""The next token from the scores: greedy, or drawn by temperature, top-k and top-p.

A draw takes one uniform number that depends on the run's seed, the request and the token's position, and on nothing
else: not on the batch, the step, a preemption or the mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; top-k 0 and top-p 1 leave every token in."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Return whether the token of the highest score is always taken."""
        return self.temperature == 0.0


def largest(logits: Tensor) -> Tensor:
    """Return where each row's highest score is, (s,), of scores (s, vocabulary); the first of several."""
    return logits.argmax(-1)


def sample(
    logits: Tensor,
    request: Tensor,
    position: Tensor,
    sampling: Sampling,
    find_largest: Callable[[Tensor], Tensor] = largest,
) -> Tensor:
    """Return the next token of each row, (s,), of scores (s, vocabulary), request ids (s,) and its position (s,).

    Top-p keeps the fewest most likely tokens that have that probability together (Holtzman et al., The Curious Case of
    Neural Text Degeneration, 2020), among those that top-k left.
    """
    if sampling.greedy:
        return find_largest(logits)
    count = min(sampling.top_k, logits.shape[-1]) or logits.shape[-1]
    scores, tokens = torch.topk(logits.float(), count, -1)
    probabilities = torch.softmax(scores.double() / sampling.temperature, -1)
    total = probabilities.cumsum(-1)
    kept = probabilities * (
        total - probabilities < sampling.top_p
    )  # the first that reaches top-p is still in
    total = kept.cumsum(-1)
    drawn = uniform(sampling.seed, request, position)[:, None] * total[:, -1:]
    chosen = torch.searchsorted(total, drawn, right=True).clamp_(max=count - 1)
    # rounding may lead just past the last token kept
    chosen = torch.minimum(chosen, (kept > 0).sum(-1, keepdim=True) - 1)
    return tokens.gather(-1, chosen)[:, 0]


def uniform(seed: int, request: Tensor, position: Tensor) -> Tensor:
    """Return a number in [0, 1) for each request and position, (s,), in float64."""
    state = _mix(torch.full_like(request, 0, dtype=torch.int64) + (seed & _MASK))
    state = _mix(state + (seed >> 32) + request)
    high = _mix(state + position)
    low = _mix(high ^ state)
    return (high * 2**21 + (low >> 11)).double() * 2.0**-53


def _mix(value: Tensor) -> Tensor:
    """Return well-spread 32-bit hashes in int64: `lowbias32` of C. Wellons' hash prospector (2018)."""
    value = value & _MASK
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & _MASK
    value = ((value ^ (value >> 15)) * 0x846CA68B) & _MASK
    return value ^ (value >> 16)
