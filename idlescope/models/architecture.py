"""The architecture of a decoder, and the bytes and operations that a step of it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched for long contexts: rope type `llama3` of Hugging Face.

    Wavelengths above `original_positions / low_freq_factor` are multiplied by `factor`, those below
    `original_positions / high_freq_factor` are kept, those between are interpolated.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


@dataclass(frozen=True)
class Model:
    """A Llama- or Qwen3-style decoder, as in its Hugging Face config.json.

    It has no biases, SiLU activations and rotary embeddings.
    """

    key: str
    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool  # the output projection is the embedding
    eos: tuple[int, ...]  # generation_config.json
    max_position: int
    norm_eps: float  # of every RMSNorm
    rope_theta: float
    rope_scaling: RopeScaling | None
    qk_norm: (
        bool  # an RMSNorm over each head of queries and keys, before the rotation: Qwen3
    )
    dtype: str = "bfloat16"  # of the published weights
    value_bytes: int = (
        2  # of a weight, activation or cached value as it is run, whatever `dtype`
    )
    folder: Path | None = None  # of the checkpoint that this was read from

    @property
    def attention_width(self) -> int:
        """Return the width of the queries of all heads."""
        return self.heads * self.head_dim

    @property
    def layer_params(self) -> int:
        """Return the weights of one layer's matrices: attention and the gated feed-forward."""
        qkv_params = self.hidden * (
            self.attention_width + 2 * self.kv_heads * self.head_dim
        )
        output = self.attention_width * self.hidden
        gate_up_down = 3 * self.hidden * self.intermediate
        return qkv_params + output + gate_up_down

    @property
    def step_params(self) -> int:
        """Return the weights that every step reads: all layers and the output projection.

        Not the embedding table.
        """
        return self.layers * self.layer_params + self.hidden * self.vocab

    @property
    def params(self) -> int:
        """Return all weights, the embedding table included (norms, under 0.01 %, are left out)."""
        embedding = 0 if self.tied else self.hidden * self.vocab
        return self.step_params + embedding

    @property
    def kv_bytes_per_token(self) -> int:
        """Return the bytes that one token keeps in the cache: keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.value_bytes

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all weights on the device."""
        return self.params * self.value_bytes

    def step_bytes(self, context: int) -> int:
        """Return the fewest bytes a step must move: each weight and each cached key and value once.

        `context` is the number of cached tokens read, summed over the batch.
        """
        return self.step_params * self.value_bytes + context * self.kv_bytes_per_token

    def step_flops(self, tokens: int, sampled: int, pairs: int) -> float:
        """Return the floating-point operations of a step.

        `tokens` go through the layers, `sampled` of them through the output projection; `pairs` is
        the number of (query, key) pairs that attention scores, 4 operations each per head dimension
        (QK and PV, multiply and add).
        """
        layer_products = tokens * self.layers * self.layer_params
        output_products = sampled * self.hidden * self.vocab
        matrices = 2.0 * (layer_products + output_products)
        return matrices + 4.0 * pairs * self.layers * self.attention_width
