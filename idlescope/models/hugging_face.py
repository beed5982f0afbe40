"""Reads the config.json of a Hugging Face checkpoint; refuses what the decoder would not compute exactly."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from idlescope.errors import ConfigError
from idlescope.models.architecture import Model, RopeScaling

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
ROPE_THETA = 10_000.0  # transformers' default for both where config.json gives none: Llama 2's
DTYPES = ("bfloat16", "float16", "float32")
INT32_MAX = 2**31 - 1  # sizes beyond are nonsense, and tokens are int32
NAME_CHARS = 80  # a folder's name becomes a part of the names of reports


@cache
def read(folder: Path) -> Model:
    """Return the model in a folder, a resolved path; each folder is read once. Raises ConfigError."""
    file = folder / "config.json"
    if not os.path.isfile(file):
        raise ConfigError(
            f"{folder} has no config.json: give the folder of a Hugging Face checkpoint"
        )
    config = _Section(file, read_json(file))
    qwen3 = _model_type(config) == "qwen3"
    _refuse_variants(config)
    hidden, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    # Qwen3's defaults are numbers, not rules as Llama's are; every published one gives both
    kv_heads = config.whole("num_key_value_heads", None if qwen3 else heads)
    head_dim = config.whole("head_dim", None if qwen3 or hidden % heads else hidden // heads)
    if heads % kv_heads:
        raise config.error(
            f"num_key_value_heads {kv_heads} does not divide num_attention_heads {heads}"
        )
    if head_dim % 2:
        raise config.error(f"head_dim {head_dim} is odd, and rotary embeddings turn pairs")
    theta, scaling = _rope(config)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-.")[:NAME_CHARS] or "model"
    return Model(
        key=name,
        name=name,
        hidden=hidden,
        layers=config.whole("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=config.whole("intermediate_size"),
        vocab=config.whole("vocab_size"),
        tied=config.flag("tie_word_embeddings"),
        eos=_eos(folder, config),
        max_position=config.whole("max_position_embeddings"),
        norm_eps=config.positive("rms_norm_eps"),
        rope_theta=theta,
        rope_scaling=scaling,
        qk_norm=qwen3,
        dtype=_dtype(config),
        folder=folder,
    )


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ConfigError where it cannot be read or holds something else."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid JSON ({error}): download it again") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no JSON object: download it again")
    return content


class _Section:
    """An object of a JSON file whose values are checked as they are read; null is as good as missing."""

    def __init__(self, file: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.file, self.values, self.prefix = file, values, prefix

    def error(
        self, what: str, advice: str = "is the file that of the published model?"
    ) -> ConfigError:
        return ConfigError(f"{self.file}: {what}: {advice}")

    def unsupported(self, what: str) -> ConfigError:
        return self.error(what, "idlescope does not run such models, choose another checkpoint")

    def get(self, name: str, default: Any = None) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.error(f"{self.prefix}{name} is missing")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.get(name, default)
        if type(value) is not int or not 1 <= value <= INT32_MAX:
            raise self.error(
                f"{self.prefix}{name} is {value!r}, not a whole number from 1 to {INT32_MAX}"
            )
        return value

    def positive(self, name: str, default: float | None = None) -> float:
        value = self.get(name, default)
        if type(value) not in (int, float) or not 0 < value <= INT32_MAX:
            raise self.error(
                f"{self.prefix}{name} is {value!r}, not a number above 0 and up to {INT32_MAX}"
            )
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.get(name, False)
        if type(value) is not bool:
            raise self.error(f"{self.prefix}{name} is {value!r}, not true or false")
        return value

    def section(self, name: str) -> _Section:
        values = self.get(name, {})
        if type(values) is not dict:
            raise self.error(f"{self.prefix}{name} is {values!r}, not an object")
        return _Section(self.file, values, f"{self.prefix}{name}.")


def _model_type(config: _Section) -> str:
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise config.unsupported(f"model_type is {kind!r}, not {' or '.join(ARCHITECTURES)}")
    architectures = config.get("architectures", [ARCHITECTURES[kind]])
    if architectures != [ARCHITECTURES[kind]]:
        raise config.unsupported(f"architectures is {architectures!r}, not {[ARCHITECTURES[kind]]}")
    return kind


def _refuse_variants(config: _Section) -> None:
    for name in ("attention_bias", "mlp_bias", "use_sliding_window"):
        if config.flag(name):
            raise config.unsupported(f"{name} is true")
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise config.unsupported(f"hidden_act is {activation!r}, not 'silu'")
    if config.values.get("quantization_config") is not None:
        raise config.unsupported("quantization_config says that the weights are quantized")
    layers = config.get("layer_types", [])
    if not isinstance(layers, list) or any(kind != "full_attention" for kind in layers):
        raise config.unsupported("layer_types has others than 'full_attention'")


def _rope(config: _Section) -> tuple[float, RopeScaling | None]:
    """Return theta and the scaling, from `rope_parameters` (transformers 5) or from `rope_theta` and `rope_scaling`."""
    rope = config.section(
        "rope_parameters" if config.values.get("rope_parameters") else "rope_scaling"
    )
    for where in (config, rope):
        if where.positive("partial_rotary_factor", 1.0) != 1.0:
            raise config.unsupported(f"{where.prefix}partial_rotary_factor is not 1")
    theta = rope.positive("rope_theta", config.positive("rope_theta", ROPE_THETA))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise config.unsupported(f"the rope type is {kind!r}, not 'default' or 'llama3'")
    scaling = RopeScaling(
        rope.positive("factor"),
        rope.positive("low_freq_factor"),
        rope.positive("high_freq_factor"),
        rope.whole("original_max_position_embeddings"),
    )
    if scaling.low_freq_factor >= scaling.high_freq_factor:
        raise rope.error(f"{rope.prefix}low_freq_factor is not below high_freq_factor")
    return theta, scaling


def _eos(folder: Path, config: _Section) -> tuple[int, ...]:
    """Return the tokens that end a text: generation_config.json's, else config.json's, else none."""
    places, file = [config], folder / "generation_config.json"
    if os.path.isfile(file):
        places.insert(0, _Section(file, read_json(file)))
    for place in places:
        value = place.values.get("eos_token_id")
        if value is None:
            continue
        tokens = value if isinstance(value, list) else [value]
        if any(type(token) is not int or not 0 <= token <= INT32_MAX for token in tokens):
            raise place.error(f"eos_token_id is {value!r}, not a token or a list of tokens")
        return tuple(tokens)
    return ()


def _dtype(config: _Section) -> str:
    """Return the dtype of the weights: `dtype` in transformers 5, `torch_dtype` before; float32 unless given."""
    dtype = config.get("dtype", config.get("torch_dtype", "float32"))
    if dtype not in DTYPES:
        raise config.unsupported(f"dtype is {dtype!r}, not {', '.join(DTYPES)}")
    return str(dtype)
