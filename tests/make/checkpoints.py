"""Tiny checkpoints with random weights, made and saved by transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "max_position_embeddings": 2048,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}  # what Llama 3.1 has, for shorter contexts: `write(..., rope_parameters=LLAMA3_ROPE)`


def network(folder: Path) -> Any:
    """Return transformers' own model of a checkpoint, in float32 on the CPU."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


def write(
    folder: Path,
    family: str = "llama",
    seed: int = 0,
    tied: bool = False,
    shard: str = "5GB",
    **overrides: Any,
) -> Path:
    """Write a `llama` or `qwen3` to a folder in float32 and return the folder; `overrides` go to its config.

    Norm weights are random too, so that a decoder which mixes them up is found out.
    """
    import torch
    import transformers

    kind = {"llama": "Llama", "qwen3": "Qwen3"}[family]
    config = getattr(transformers, f"{kind}Config")(
        **{**SMALL, "tie_word_embeddings": tied, **overrides}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = getattr(transformers, f"{kind}ForCausalLM")(config)
        for name, weight in made.named_parameters():
            if name.endswith("norm.weight"):
                torch.nn.init.normal_(weight, 1.0, 0.1)
    made.save_pretrained(folder, max_shard_size=shard)
    return folder
