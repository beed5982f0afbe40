"""The weights of a Hugging Face checkpoint, or random weights of the same shapes."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from idlescope.errors import ConfigError
from idlescope.models.architecture import Model
from idlescope.models.hugging_face import read_json

INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
STORED = ("BF16", "F16", "F32", "F64")  # safetensors' names; weights in others are quantized
RANDOM_STD = 0.02  # initializer_range in the config.json of Llama and Qwen3


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight by its Hugging Face name, in the order of the network.

    A matrix is (outputs, inputs), applied as `x @ w.T`. A tied model has no `lm_head.weight`: it is the embedding.
    """
    queries, keys = model.attention_width, model.kv_heads * model.head_dim
    layer = {
        "input_layernorm": (model.hidden,),
        "self_attn.q_proj": (queries, model.hidden),
        "self_attn.k_proj": (keys, model.hidden),
        "self_attn.v_proj": (keys, model.hidden),
        "self_attn.o_proj": (model.hidden, queries),
        **(
            {f"self_attn.{which}_norm": (model.head_dim,) for which in "qk"}
            if model.qk_norm
            else {}
        ),
        "post_attention_layernorm": (model.hidden,),
        "mlp.gate_proj": (model.intermediate, model.hidden),
        "mlp.up_proj": (model.intermediate, model.hidden),
        "mlp.down_proj": (model.hidden, model.intermediate),
    }
    return {
        "model.embed_tokens.weight": (model.vocab, model.hidden),
        **{
            f"model.layers.{i}.{name}.weight": shape
            for i in range(model.layers)
            for name, shape in layer.items()
        },
        "model.norm.weight": (model.hidden,),
        **({} if model.tied else {"lm_head.weight": (model.vocab, model.hidden)}),
    }


def load(folder: Path, model: Model, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights that `shapes` names, on the CPU in `dtype`; others in the files are ignored.

    Weights that are stored in `dtype` may be views of the mapped files: not to be changed in place.
    Raises ConfigError where a file or a weight is missing, damaged or of another shape.
    """
    expected = shapes(model)
    weights: dict[str, Tensor] = {}
    for file in _files(folder):
        weights.update(_read(file, expected, dtype))
    missing = [name for name in expected if name not in weights]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(
            f"{folder} lacks the weight {missing[0]}{more}: is config.json that of these weights?"
        )
    return {name: weights[name] for name in expected}


def random_weights(
    model: Model, seed: int, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return weights of the right shapes made on the device in `dtype`: normal with std 0.02, those of norms 1.

    The same for the same seed, dtype, kind of device and version of torch. Nothing beyond the weights is allocated.
    """
    generator = torch.Generator(device).manual_seed(seed)
    return {
        name: torch.ones(shape, dtype=dtype, device=device)
        if len(shape) == 1
        else torch.empty(shape, dtype=dtype, device=device).normal_(
            0.0, RANDOM_STD, generator=generator
        )
        for name, shape in shapes(model).items()
    }


def _files(folder: Path) -> list[Path]:
    """Return the files that hold the weights: one, or the shards that the index names."""
    if os.path.isfile(folder / WEIGHTS):
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not os.path.isfile(index):
        others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pth", ".pt"))
        if others:
            raise ConfigError(
                f"{folder} has its weights only as {others[0]}, which may run code when read: "
                "convert them to safetensors, with save_pretrained of transformers"
            )
        raise ConfigError(f"{folder} has no weights: it needs {WEIGHTS}, or {INDEX} and its shards")
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(_is_file_name(name) for name in shards.values()):
        raise ConfigError(f"{index} does not map weights to files of its folder: download it again")
    files = [folder / name for name in sorted(set(shards.values()))]
    for file in files:
        if not os.path.isfile(file):
            raise ConfigError(f"{file} is missing, which {INDEX} names: download it")
    return files


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _read(
    file: Path, expected: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the expected weights that a file holds."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConfigError(
            f"{file} needs safetensors to be read: pip install safetensors"
        ) from error
    weights = {}
    try:
        with safe_open(file, framework="pt", device="cpu") as stored:
            for name in stored.keys():  # noqa: SIM118  # it is no dict
                if name not in expected:
                    continue
                part = stored.get_slice(name)
                if tuple(part.get_shape()) != expected[name]:
                    raise ConfigError(
                        f"{name} in {file} has the shape {tuple(part.get_shape())} and {expected[name]} is expected: "
                        "is config.json that of these weights?"
                    )
                if part.get_dtype() not in STORED:
                    raise ConfigError(
                        f"{name} in {file} is stored as {part.get_dtype()}, not {', '.join(STORED)}: "
                        "choose a checkpoint that is not quantized"
                    )
                weights[name] = stored.get_tensor(name).to(dtype)
    except SafetensorError as error:
        raise ConfigError(f"{file} is damaged ({error}): download it again") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    return weights
