"""Reads the config.json of a Hugging Face checkpoint.

What the decoder would not compute exactly is refused.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from idlescope.errors import ConfigError
from idlescope.models.architecture import Model, RopeScaling
from idlescope.plain_files import read_plain

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
ROPE_THETA = (
    10_000.0  # transformers' default for both where config.json gives none: Llama 2's
)
DTYPES = ("bfloat16", "float16", "float32")
INT32_MAX = 2**31 - 1  # sizes beyond are nonsense, and tokens are int32
NAME_CHARS = 80  # a folder's name becomes a part of the names of reports
FULL_ATTENTION = "full_attention"

Size = Annotated[int, msgspec.Meta(ge=1, le=INT32_MAX)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=INT32_MAX)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]

# what to say of a value that is none, by the type that msgspec expected
EXPECTED = {
    "int": f"a whole number from 1 to {INT32_MAX}",
    "float": f"a number above 0 and up to {INT32_MAX}",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}
EXPECTED_OF = {"eos_token_id": "a token or a list of tokens"}


class Family(msgspec.Struct):
    """What says whether the model is of a kind that can be run at all."""

    model_type: Any
    architectures: Any = None


class Rope(msgspec.Struct):
    """Rotary embeddings, of which other kinds have other fields."""

    rope_type: Any = None
    type: Any = None  # as older files call it
    rope_theta: Positive | None = None
    partial_rotary_factor: Positive = 1.0


class Llama3Rope(msgspec.Struct):
    """What the rope type `llama3` must have beside."""

    factor: Positive
    low_freq_factor: Positive
    high_freq_factor: Positive
    original_max_position_embeddings: Size


class Config(msgspec.Struct):
    """The fields of a config.json that matter; where they may be left out, transformers' default.

    None stands for a default that depends on other fields.
    """

    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    rms_norm_eps: Positive
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    use_sliding_window: bool = False
    hidden_act: Any = "silu"
    layer_types: list[Any] = []
    quantization_config: Any = None
    rope_theta: Positive = ROPE_THETA
    partial_rotary_factor: Positive = 1.0
    rope_parameters: Rope | None = None  # transformers 5
    rope_scaling: Rope | None = None  # before
    dtype: Any = None  # of the weights, in transformers 5
    torch_dtype: Any = None  # the same, before


class Ends(msgspec.Struct):
    """What says, in config.json or generation_config.json, which tokens end a text."""

    eos_token_id: TokenId | list[TokenId] | None = None


Fields = TypeVar("Fields")


@dataclass(frozen=True)
class Section:
    """An object of a JSON file; null is as good as missing."""

    file: Path
    values: dict[str, Any]  # without nulls
    prefix: str = ""  # of its fields' names in errors

    @classmethod
    def of(cls, file: Path) -> Section:
        """Read a file. Raises ConfigError."""
        return cls(file, without_nulls(read_json(file)))

    def inner(self, name: str) -> Section:
        """Return the object that is the value of a field."""
        return Section(self.file, self.values[name], f"{self.prefix}{name}.")

    def read(self, fields: type[Fields]) -> Fields:
        """Return these fields of the object. Raises ConfigError naming the one that is wrong."""
        try:
            return msgspec.convert(self.values, fields)
        except msgspec.ValidationError as error:
            raise self.error(self._fault(str(error))) from None
        except UnicodeEncodeError:  # an escape such as \ud800 without its other half
            raise self.error("a text in it holds half a character") from None

    def _fault(self, problem: str) -> str:
        """Return what is wrong, of msgspec's words for it."""
        place = re.search(r"`\$\.([\w.]+)", problem)
        field_path = place[1].split(".") if place else []
        missing = re.search(r"missing required field `(\w+)`", problem)
        if missing:
            field_path.append(missing[1])
        field_name = self.prefix + ".".join(field_path)
        if missing:
            return f"{field_name} is missing"

        found_value: Any = self.values
        for path_part in field_path:
            found_value = found_value[path_part]
        expected_type = re.search(r"Expected `(\w+)", problem)
        # "Number out of range" is said of floats
        type_name = expected_type[1] if expected_type else "float"
        expected = EXPECTED_OF.get(field_path[-1], EXPECTED.get(type_name, type_name))
        return f"{field_name} is {found_value!r}, not {expected}"

    def error(
        self, problem: str, advice: str = "is the file that of the published model?"
    ) -> ConfigError:
        """Return the error that says what is wrong in the file."""
        return ConfigError(f"{self.file}: {problem}: {advice}")

    def unsupported(self, problem: str) -> ConfigError:
        """Return the error for a model that the decoder would not compute exactly."""
        return self.error(
            problem, "idlescope does not run such models, choose another checkpoint"
        )


@cache
def read(folder: Path) -> Model:
    """Return the model in a folder, a resolved path; each folder is read once.

    Raises ConfigError.
    """
    config_path = folder / "config.json"
    if not os.path.isfile(config_path):
        raise ConfigError(
            f"{folder} has no config.json: give the folder of a Hugging Face checkpoint"
        )
    section = Section.of(config_path)
    is_qwen3 = _model_type(section) == "qwen3"
    config = section.read(Config)
    _refuse_variants(section, config)
    kv_heads, head_dim = _heads(section, config, is_qwen3)
    rope_theta, rope_scaling = _rope(section, config)
    folder_name = (
        re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-.")[:NAME_CHARS] or "model"
    )
    return Model(
        key=folder_name,
        name=folder_name,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=config.intermediate_size,
        vocab=config.vocab_size,
        tied=config.tie_word_embeddings,
        eos=_eos(folder, section),
        max_position=config.max_position_embeddings,
        norm_eps=config.rms_norm_eps,
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
        qk_norm=is_qwen3,
        dtype=_dtype(section, config),
        folder=folder,
    )


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises ConfigError where it cannot be read or holds something else.
    """
    try:
        content = json.loads(read_plain(file))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} is not valid JSON ({error}): download it again"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds no JSON object: download it again")
    return content


def without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its fields that are null, and without those of objects within."""
    return {
        key_name: without_nulls(key_value) if isinstance(key_value, dict) else key_value
        for key_name, key_value in values.items()
        if key_value is not None
    }


def _model_type(section: Section) -> str:
    family = section.read(Family)
    model_type = family.model_type
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        known_types = " or ".join(ARCHITECTURES)
        raise section.unsupported(f"model_type is {model_type!r}, not {known_types}")
    expected = [ARCHITECTURES[model_type]]
    if family.architectures not in (None, expected):
        raise section.unsupported(
            f"architectures is {family.architectures!r}, not {expected}"
        )
    return model_type


def _refuse_variants(section: Section, config: Config) -> None:
    for option_name in ("attention_bias", "mlp_bias", "use_sliding_window"):
        if getattr(config, option_name):
            raise section.unsupported(f"{option_name} is true")
    if config.hidden_act != "silu":
        raise section.unsupported(f"hidden_act is {config.hidden_act!r}, not 'silu'")
    if config.quantization_config is not None:
        raise section.unsupported("quantization_config says that the weights are quantized")
    if any(layer_type != FULL_ATTENTION for layer_type in config.layer_types):
        raise section.unsupported(f"layer_types has others than {FULL_ATTENTION!r}")


def _heads(section: Section, config: Config, qwen3: bool) -> tuple[int, int]:
    """Return the key-value heads, and the dimension of all heads.

    Qwen3's defaults are numbers, not rules as Llama's are; every published one gives both.
    """
    hidden, head_count = config.hidden_size, config.num_attention_heads
    kv_heads, head_dim = config.num_key_value_heads, config.head_dim
    if kv_heads is None and not qwen3:
        kv_heads = head_count
    if head_dim is None and not qwen3 and hidden % head_count == 0:
        head_dim = hidden // head_count
    if kv_heads is None:
        raise section.error("num_key_value_heads is missing")
    if head_dim is None:
        raise section.error("head_dim is missing")
    if head_count % kv_heads:
        raise section.error(
            f"num_key_value_heads {kv_heads} does not divide num_attention_heads {head_count}"
        )
    if head_dim % 2:
        raise section.error(f"head_dim {head_dim} is odd, and rotary embeddings turn pairs")
    return kv_heads, head_dim


def _rope(section: Section, config: Config) -> tuple[float, RopeScaling | None]:
    """Return theta and the scaling of rotary embeddings."""
    section_name = (
        "rope_parameters" if section.values.get("rope_parameters") else "rope_scaling"
    )
    rope_settings = getattr(config, section_name) or Rope()
    for prefix, fields in (("", config), (f"{section_name}.", rope_settings)):
        if fields.partial_rotary_factor != 1.0:
            raise section.unsupported(f"{prefix}partial_rotary_factor is not 1")

    rope_theta = (
        config.rope_theta if rope_settings.rope_theta is None else rope_settings.rope_theta
    )
    rope_kind = rope_settings.rope_type or rope_settings.type or "default"
    if rope_kind == "default":
        return rope_theta, None
    if rope_kind != "llama3":
        raise section.unsupported(
            f"the rope type is {rope_kind!r}, not 'default' or 'llama3'"
        )

    llama3 = section.inner(section_name).read(Llama3Rope)
    if llama3.low_freq_factor >= llama3.high_freq_factor:
        raise section.error(f"{section_name}.low_freq_factor is not below high_freq_factor")
    scaling = RopeScaling(
        llama3.factor,
        llama3.low_freq_factor,
        llama3.high_freq_factor,
        llama3.original_max_position_embeddings,
    )
    return rope_theta, scaling


def _eos(folder: Path, section: Section) -> tuple[int, ...]:
    """Return the tokens that end a text: generation_config.json's, else config.json's, if any."""
    sections = [section]
    generation_path = folder / "generation_config.json"
    if os.path.isfile(generation_path):
        sections.insert(0, Section.of(generation_path))
    for section_place in sections:
        tokens = section_place.read(Ends).eos_token_id
        if tokens is not None:
            return tuple(tokens) if isinstance(tokens, list) else (tokens,)
    return ()


def _dtype(section: Section, config: Config) -> str:
    """Return the dtype of the weights; float32 unless given."""
    weight_dtype = config.dtype or config.torch_dtype or "float32"
    if weight_dtype not in DTYPES:
        raise section.unsupported(f"dtype is {weight_dtype!r}, not {', '.join(DTYPES)}")
    return str(weight_dtype)
