"""transformers' own network on a device: a checkpoint's, or one with our random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idlescope.capture.transformers.library import (
    first_line,
    quiet,
    switches_attention,
    transformers_library,
)
from idlescope.errors import ConfigError
from idlescope.models.architecture import Model


def load(model: Model, dtype: str, device: str, seed: int) -> Any:
    """Return transformers' network of a model, on a torch device and ready for inference.

    A model with a folder has that checkpoint's weights, another our random weights of that seed.
    Nothing is downloaded. Raises ConfigError where transformers or the checkpoint is not what it
    must be.
    """
    transformers_library()
    with quiet():
        if model.folder is not None:
            network = _from_checkpoint(model.folder, dtype, device)
        else:
            network = _with_random_weights(model, dtype, device, seed)
        network.set_attn_implementation(_attention(device, dtype))
    return network.eval().requires_grad_(False)


def _from_checkpoint(folder: Path, dtype: str, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True
        )
        return network.to(device)  # type: ignore[arg-type]
    except Exception as error:  # whatever the library and its readers of files raise
        reason = first_line(error)
        raise ConfigError(f"transformers cannot load {folder}: {reason}") from error


def _with_random_weights(model: Model, dtype: str, device: str, seed: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    from idlescope.engine.network.checkpoint import random_weights

    torch_dtype = getattr(torch, dtype)
    # Made without memory, then given the weights: they are never there twice.
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(configured(model), dtype=torch_dtype)
    weights = random_weights(model, seed, torch_dtype, device)
    network.load_state_dict(weights, strict=False, assign=True)
    network.tie_weights()
    # The rotary embedding's frequencies are no weights: they are worked out again, on the device.
    rotary_class = type(network.model.rotary_emb)
    with torch.device(device):
        network.model.rotary_emb = rotary_class(network.config)
    return network


def configured(model: Model) -> Any:
    """Return transformers' configuration of a model of a preset."""
    from transformers import LlamaConfig, Qwen3Config

    rope_parameters: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": model.rope_theta,
    }
    scaling = model.rope_scaling
    if scaling is not None:
        rope_parameters |= {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions,
        }
    config_class = Qwen3Config if model.qk_norm else LlamaConfig
    return config_class(
        vocab_size=model.vocab,
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads,
        head_dim=model.head_dim,
        max_position_embeddings=model.max_position,
        rms_norm_eps=model.norm_eps,
        rope_parameters=rope_parameters,
        tie_word_embeddings=model.tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def _attention(device: str, dtype: str) -> str:
    """Return the attention that transformers would choose without downloading a kernel."""
    from transformers.utils.import_utils import (
        is_flash_attn_2_available,
        is_flash_attn_3_available,
    )

    # FlashAttention is for CUDA and 16 bits.
    if device != "cpu" and dtype != "float32":
        if is_flash_attn_3_available():
            return "flash_attention_3"
        if is_flash_attn_2_available():
            return "flash_attention_2"
    return "sdpa" if switches_attention() else "paged|sdpa"  # 5.17 wants it said
