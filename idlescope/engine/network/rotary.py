"""Rotary position embeddings: Su et al., RoFormer (2021).

The two halves of a head are paired as Hugging Face pairs them. Llama 3's scaling of the frequencies
is as in Meta's reference code (llama-models, `apply_scaling`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from idlescope.models.architecture import Model


def rotary_tables(model: Model, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each (length, D) in float32; the sine's first half is negative.

    With them, x * cos + roll(x, D/2) * sin rotates each pair (x[i], x[i + D/2]).
    """
    position = torch.arange(length, dtype=torch.float32)
    angle = position[:, None] * _frequencies(model)
    cosine = angle.cos()
    sine = angle.sin()
    cos_table = torch.cat((cosine, cosine), 1)
    sin_table = torch.cat((-sine, sine), 1)
    return cos_table.to(device), sin_table.to(device)


def _frequencies(model: Model) -> Tensor:
    """Return the angle per position of each pair, (D/2,) in float32."""
    head_dim = model.head_dim
    even_columns = torch.arange(0, head_dim, 2, dtype=torch.int64)
    frequency = 1.0 / model.rope_theta ** (even_columns.float() / head_dim)
    scaling = model.rope_scaling
    if scaling is None:
        return frequency
    # Pairs that turn often over the length that the model was trained on stay as they are; slow
    # ones are slowed down by the factor; those between are blended.
    turns_in_context = scaling.original_positions * frequency / (2 * math.pi)
    factor_span = scaling.high_freq_factor - scaling.low_freq_factor
    kept_share = ((turns_in_context - scaling.low_freq_factor) / factor_span).clamp(
        0.0, 1.0
    )
    return frequency * (kept_share + (1 - kept_share) / scaling.factor)
