"""The weights of a Hugging Face checkpoint, or random weights of the same shapes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from idlescope.errors import ConfigError
from idlescope.models.architecture import Model
from idlescope.models.hugging_face import read_json

INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
PICKLES = (".bin", ".pth", ".pt")
STORED = (
    "BF16",
    "F16",
    "F32",
    "F64",
)  # safetensors' names; weights in others are quantized
RANDOM_STD = 0.02  # initializer_range in the config.json of Llama and Qwen3


Shapes = dict[str, tuple[int, ...]]


def shapes(model: Model) -> Shapes:
    """Return the shape of every weight by its Hugging Face name, in the order of the network.

    A matrix is (outputs, inputs), applied as `x @ w.T`. A tied model has no `lm_head.weight`: it is
    the embedding.
    """
    shape_by_name: Shapes = {"model.embed_tokens.weight": (model.vocab, model.hidden)}
    for layer_index in range(model.layers):
        for weight_name, weight_shape in _layer_shapes(model).items():
            shape_by_name[f"model.layers.{layer_index}.{weight_name}.weight"] = weight_shape
    shape_by_name["model.norm.weight"] = (model.hidden,)
    if not model.tied:
        shape_by_name["lm_head.weight"] = (model.vocab, model.hidden)
    return shape_by_name


def _layer_shapes(model: Model) -> Shapes:
    hidden = model.hidden
    query_width = model.attention_width
    key_width = model.kv_heads * model.head_dim
    attention: Shapes = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (query_width, hidden),
        "self_attn.k_proj": (key_width, hidden),
        "self_attn.v_proj": (key_width, hidden),
        "self_attn.o_proj": (hidden, query_width),
    }
    if model.qk_norm:
        attention["self_attn.q_norm"] = (model.head_dim,)
        attention["self_attn.k_norm"] = (model.head_dim,)
    return {
        **attention,
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (model.intermediate, hidden),
        "mlp.up_proj": (model.intermediate, hidden),
        "mlp.down_proj": (hidden, model.intermediate),
    }


def load(folder: Path, model: Model, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights that `shapes` names, on the CPU in `dtype`.

    Others in the files are ignored. Weights that are stored in `dtype` may be views of the mapped
    files: not to be changed in place. Raises ConfigError where a file or a weight is missing,
    damaged or of another shape.
    """
    expected = shapes(model)
    weights: dict[str, Tensor] = {}
    for weights_file in _files(folder):
        weights.update(_read(weights_file, expected, dtype))
    missing = [weight_name for weight_name in expected if weight_name not in weights]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(
            f"{folder} lacks the weight {missing[0]}{others}: is config.json that of these weights?"
        )
    return {weight_name: weights[weight_name] for weight_name in expected}


def random_weights(
    model: Model, seed: int, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return weights of the right shapes made on the device; norms' are 1.

    The others are normal with std 0.02, the same for the same seed, dtype, kind of device and
    version of torch. Nothing beyond the weights is allocated.
    """
    generator = torch.Generator(device).manual_seed(seed)
    weights = {}
    for weight_name, weight_shape in shapes(model).items():
        if len(weight_shape) == 1:
            weights[weight_name] = torch.ones(weight_shape, dtype=dtype, device=device)
        else:
            weight = torch.empty(weight_shape, dtype=dtype, device=device)
            weights[weight_name] = weight.normal_(0.0, RANDOM_STD, generator=generator)
    return weights


def _files(folder: Path) -> list[Path]:
    """Return the files that hold the weights: one, or the shards that the index names."""
    if os.path.isfile(folder / WEIGHTS):
        return [folder / WEIGHTS]
    index_path = folder / INDEX
    if not os.path.isfile(index_path):
        raise ConfigError(_no_weights(folder))
    shards = read_json(index_path).get("weight_map")
    if not isinstance(shards, dict) or not all(map(_is_file_name, shards.values())):
        raise ConfigError(
            f"{index_path} does not map weights to files of its folder: download it again"
        )
    shard_paths = [folder / shard_name for shard_name in sorted(set(shards.values()))]
    for shard_path in shard_paths:
        if not os.path.isfile(shard_path):
            raise ConfigError(f"{shard_path} is missing, which {INDEX} names: download it")
    return shard_paths


def _no_weights(folder: Path) -> str:
    pickles = sorted(
        pickle_path.name
        for pickle_path in folder.glob("*")
        if pickle_path.suffix in PICKLES
    )
    if pickles:
        return (
            f"{folder} has its weights only as {pickles[0]}, which may run code when read: "
            "convert them to safetensors, with save_pretrained of transformers"
        )
    return f"{folder} has no weights: it needs {WEIGHTS}, or {INDEX} and its shards"


def _is_file_name(name: object) -> bool:
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    return not set(name) & set("/\\\0")


def _read(file: Path, expected: Shapes, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the expected weights that a file holds. Raises ConfigError."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConfigError(
            f"{file} needs safetensors to be read: pip install safetensors"
        ) from error
    weights = {}
    try:
        with safe_open(file, framework="pt", device="cpu") as stored:
            for weight_name in stored.keys():  # noqa: SIM118  # it is no dict
                if weight_name not in expected:
                    continue
                weight_part = stored.get_slice(weight_name)
                _check(file, weight_name, weight_part, expected[weight_name])
                weights[weight_name] = stored.get_tensor(weight_name).to(dtype)
    except SafetensorError as error:
        raise ConfigError(f"{file} is damaged ({error}): download it again") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    return weights


def _check(file: Path, name: str, stored: Any, expected: tuple[int, ...]) -> None:
    """Raise ConfigError where a stored weight has another shape, or is quantized."""
    stored_shape = tuple(stored.get_shape())
    if stored_shape != expected:
        raise ConfigError(
            f"{name} in {file} has the shape {stored_shape} and {expected} is expected: "
            "is config.json that of these weights?"
        )
    stored_dtype = stored.get_dtype()
    if stored_dtype not in STORED:
        raise ConfigError(
            f"{name} in {file} is stored as {stored_dtype}, not {', '.join(STORED)}: "
            "choose a checkpoint that is not quantized"
        )
