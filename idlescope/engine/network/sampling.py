"""The next token from the scores: greedy, or drawn by temperature, top-k and top-p.

A draw takes one uniform number that depends on the run's seed, the request and the token's
position, and on nothing else: not on the batch, the step, a preemption or the mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOW_32_BITS = 0xFFFFFFFF


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
    """Return where the first of each row's highest scores is, (s,), of (s, vocabulary)."""
    return logits.argmax(-1)


def sample(
    logits: Tensor,
    request: Tensor,
    position: Tensor,
    sampling: Sampling,
    find_largest: Callable[[Tensor], Tensor] = largest,
) -> Tensor:
    """Return the next token of each row, (s,), of scores (s, vocabulary).

    `request` and `position`, (s,) each, are the request's id and the token's position. Top-p keeps
    the fewest most likely tokens that have that probability together (Holtzman et al., The Curious
    Case of Neural Text Degeneration, 2020), among those that top-k left.
    """
    if sampling.greedy:
        return find_largest(logits)
    vocabulary = logits.shape[-1]
    count = min(sampling.top_k, vocabulary) or vocabulary
    scores, tokens = torch.topk(logits.float(), count, -1)
    tempered = scores.double() / sampling.temperature
    probability = torch.softmax(tempered, -1)

    # What is more likely than a token has less than top-p together: the first token that reaches
    # top-p is still in.
    cumulative = probability.cumsum(-1)
    in_top_p = cumulative - probability < sampling.top_p
    kept_probability = probability * in_top_p

    # The token whose part of the kept probability the uniform number falls into.
    cumulative = kept_probability.cumsum(-1)
    number = uniform(sampling.seed, request, position)[:, None]
    drawn_mass = number * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, drawn_mass, right=True).clamp_(max=count - 1)

    # Rounding may lead just past the last token kept.
    kept_count = (kept_probability > 0).sum(-1, keepdim=True)
    last_kept = kept_count - 1
    chosen = torch.minimum(chosen, last_kept)
    return tokens.gather(-1, chosen)[:, 0]


def uniform(seed: int, request: Tensor, position: Tensor) -> Tensor:
    """Return a number in [0, 1) for each request and position, (s,), in float64."""
    low_seed = torch.full_like(request, 0, dtype=torch.int64) + (seed & LOW_32_BITS)
    high_seed = seed >> 32
    mixed_seed = _mix(low_seed)
    mixed_seed = _mix(mixed_seed + high_seed + request)
    high_bits = _mix(mixed_seed + position)
    low_bits = _mix(high_bits ^ mixed_seed)
    # 32 bits of one hash and 21 of another: the 53 bits of a float64's mantissa.
    uniform_bits = high_bits * 2**21 + (low_bits >> 11)
    return uniform_bits.double() * 2.0**-53


def _mix(value: Tensor) -> Tensor:
    """Return well-spread 32-bit hashes in int64.

    `lowbias32` of C. Wellons' hash prospector (2018).
    """
    value = value & LOW_32_BITS
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & LOW_32_BITS
    value = ((value ^ (value >> 15)) * 0x846CA68B) & LOW_32_BITS
    return value ^ (value >> 16)
