"""Named model architectures, and the bytes and floating-point operations that a step of each needs."""

from __future__ import annotations

from dataclasses import dataclass

from idlescope.errors import ConfigError

BYTES_PER_VALUE = 2  # bf16 weights, activations and KV cache


@dataclass(frozen=True)
class Model:
    """The shape of a Llama- or Qwen3-style decoder, as in its Hugging Face config.json."""

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

    @property
    def attention_width(self) -> int:
        """Return the width of the queries of all heads."""
        return self.heads * self.head_dim

    @property
    def layer_params(self) -> int:
        """Return the weights of one layer's matrices: QKV, output, gate, up and down projections."""
        qkv = self.hidden * (self.attention_width + 2 * self.kv_heads * self.head_dim)
        return qkv + self.attention_width * self.hidden + 3 * self.hidden * self.intermediate

    @property
    def step_params(self) -> int:
        """Return the weights that every step reads: all layers and the output projection, not the embedding table."""
        return self.layers * self.layer_params + self.hidden * self.vocab

    @property
    def params(self) -> int:
        """Return all weights, the embedding table included (norms, under 0.01 %, are left out)."""
        return self.step_params + (0 if self.tied else self.hidden * self.vocab)

    @property
    def kv_bytes_per_token(self) -> int:
        """Return the bytes of keys and values that one token keeps in the cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES_PER_VALUE

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all weights on the device."""
        return self.params * BYTES_PER_VALUE

    def step_bytes(self, context: int) -> int:
        """Return the fewest bytes a step must move: each weight and each cached key and value once.

        `context` is the number of cached tokens read, summed over the batch.
        """
        return self.step_params * BYTES_PER_VALUE + context * self.kv_bytes_per_token

    def step_flops(self, tokens: int, sampled: int, pairs: int) -> float:
        """Return the floating-point operations of a step.

        `tokens` go through the layers, `sampled` of them through the output projection; `pairs` is the number of
        (query, key) pairs that attention scores, 4 operations each per head dimension (QK and PV, multiply and add).
        """
        matrices = 2.0 * (tokens * self.layers * self.layer_params + sampled * self.hidden * self.vocab)
        return matrices + 4.0 * pairs * self.layers * self.attention_width


_LLAMA_EOS = (128001, 128008, 128009)
_QWEN_EOS = (151645, 151643)
MODELS = {
    m.key: m
    for m in (
        Model("tiny", "a toy Llama", 64, 2, 4, 2, 16, 128, 512, False, (2,), 16384),
        Model("1b", "Llama-3.2-1B", 2048, 16, 32, 8, 64, 8192, 128256, True, _LLAMA_EOS, 131072),
        Model("3b", "Llama-3.2-3B", 3072, 28, 24, 8, 128, 8192, 128256, True, _LLAMA_EOS, 131072),
        Model("8b", "Llama-3.1-8B", 4096, 32, 32, 8, 128, 14336, 128256, False, _LLAMA_EOS, 131072),
        Model("70b", "Llama-3.1-70B", 8192, 80, 64, 8, 128, 28672, 128256, False, _LLAMA_EOS, 131072),
        Model("qwen3-0.6b", "Qwen3-0.6B", 1024, 28, 16, 8, 128, 3072, 151936, True, _QWEN_EOS, 40960),
        Model("qwen3-8b", "Qwen3-8B", 4096, 36, 32, 8, 128, 12288, 151936, False, _QWEN_EOS, 40960),
    )
}


def model(key: str) -> Model:
    """Return the model of that key. Raises ConfigError naming the known ones."""
    try:
        return MODELS[key.lower()]
    except KeyError:
        raise ConfigError(f"no model is known as {key!r}: choose one of {', '.join(MODELS)}") from None
