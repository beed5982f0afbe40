"""Model architectures by name, or read from a checkpoint."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.models import hugging_face
from idlescope.models.architecture import Model, RopeScaling

TINY = Model(
    key="tiny",
    name="a toy Llama",
    hidden=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=128,
    vocab=512,
    tied=False,
    eos=(2,),
    max_position=16384,
    norm_eps=1e-5,
    rope_theta=10_000.0,
    rope_scaling=None,
    qk_norm=False,
)

# What the config.json and generation_config.json of a family have in common
LLAMA_3 = replace(
    TINY,
    kv_heads=8,
    vocab=128256,
    eos=(128001, 128008, 128009),
    max_position=131072,
    rope_theta=500_000.0,
    rope_scaling=RopeScaling(32.0, 1.0, 4.0, 8192),
)
LLAMA_31 = replace(LLAMA_3, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192), head_dim=128)
LLAMA_32 = replace(LLAMA_3, intermediate=8192, tied=True)
QWEN_3 = replace(
    TINY,
    kv_heads=8,
    head_dim=128,
    vocab=151936,
    eos=(151645, 151643),
    max_position=40960,
    norm_eps=1e-6,
    rope_theta=1_000_000.0,
    qk_norm=True,
)


SIZES = (
    replace(
        LLAMA_32,
        key="1b",
        name="Llama-3.2-1B",
        hidden=2048,
        layers=16,
        heads=32,
        head_dim=64,
    ),
    replace(
        LLAMA_32,
        key="3b",
        name="Llama-3.2-3B",
        hidden=3072,
        layers=28,
        heads=24,
        head_dim=128,
    ),
    replace(
        LLAMA_31,
        key="8b",
        name="Llama-3.1-8B",
        hidden=4096,
        layers=32,
        heads=32,
        intermediate=14336,
    ),
    replace(
        LLAMA_31,
        key="70b",
        name="Llama-3.1-70B",
        hidden=8192,
        layers=80,
        heads=64,
        intermediate=28672,
    ),
    replace(
        QWEN_3,
        key="qwen3-0.6b",
        name="Qwen3-0.6B",
        hidden=1024,
        layers=28,
        heads=16,
        intermediate=3072,
        tied=True,
    ),
    replace(
        QWEN_3,
        key="qwen3-8b",
        name="Qwen3-8B",
        hidden=4096,
        layers=36,
        heads=32,
        intermediate=12288,
    ),
)
MODELS = {model.key: model for model in (TINY, *SIZES)}


def model(key: str) -> Model:
    """Return the model of that name, or of the Hugging Face checkpoint in that folder.

    Names come first. Raises ConfigError for a name that is not known, and for a checkpoint that
    cannot be read or run.
    """
    named_model = MODELS.get(key.lower())
    if named_model is not None:
        return named_model
    if os.path.isdir(key):
        return hugging_face.read(Path(key).resolve())
    known_models = f"one of {', '.join(MODELS)}"
    if os.sep in key or "/" in key:
        raise ConfigError(
            f"no folder is at {key!r}: give that of a checkpoint (none is downloaded), "
            f"or {known_models}"
        )
    raise ConfigError(
        f"no model is known as {key!r}: choose {known_models}, or give the folder of a checkpoint"
    )
