"""Model architectures by name, or read from a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.models.architecture import Model, RopeScaling


def _llama(
    key: str,
    name: str,
    hidden: int,
    layers: int,
    heads: int,
    head_dim: int,
    intermediate: int,
    rope_factor: float,
    tied: bool = False,
) -> Model:
    """Return a Llama 3.1 or 3.2: what their config.json and generation_config.json have in common."""
    eos, scaling = (128001, 128008, 128009), RopeScaling(rope_factor, 1.0, 4.0, 8192)
    shape = (hidden, layers, heads, 8, head_dim, intermediate, 128256)
    return Model(key, name, *shape, tied, eos, 131072, 1e-5, 500_000.0, scaling, False)


def _qwen3(
    key: str, name: str, hidden: int, layers: int, heads: int, intermediate: int, tied: bool = False
) -> Model:
    """Return a Qwen3: what their config.json and generation_config.json have in common."""
    shape = (hidden, layers, heads, 8, 128, intermediate, 151936)
    return Model(key, name, *shape, tied, (151645, 151643), 40960, 1e-6, 1_000_000.0, None, True)


MODELS = {
    m.key: m
    for m in (
        Model(
            "tiny",
            "a toy Llama",
            64,
            2,
            4,
            2,
            16,
            128,
            512,
            False,
            (2,),
            16384,
            1e-5,
            10_000.0,
            None,
            False,
        ),
        _llama("1b", "Llama-3.2-1B", 2048, 16, 32, 64, 8192, 32.0, tied=True),
        _llama("3b", "Llama-3.2-3B", 3072, 28, 24, 128, 8192, 32.0, tied=True),
        _llama("8b", "Llama-3.1-8B", 4096, 32, 32, 128, 14336, 8.0),
        _llama("70b", "Llama-3.1-70B", 8192, 80, 64, 128, 28672, 8.0),
        _qwen3("qwen3-0.6b", "Qwen3-0.6B", 1024, 28, 16, 3072, tied=True),
        _qwen3("qwen3-8b", "Qwen3-8B", 4096, 36, 32, 12288),
    )
}


def model(key: str) -> Model:
    """Return the model of that name, or of the Hugging Face checkpoint in that folder; names come first.

    Raises ConfigError for a name that is not known, and for a checkpoint that cannot be read or run.
    """
    named = MODELS.get(key.lower())
    if named is not None:
        return named
    if os.path.isdir(key):
        from idlescope.models.hugging_face import (
            read,  # it makes Models: imported late, for it imports this module
        )

        return read(Path(key).resolve())
    known = f"one of {', '.join(MODELS)}"
    if os.sep in key or "/" in key:
        raise ConfigError(
            f"no folder is at {key!r}: give that of a checkpoint (none is downloaded), or {known}"
        )
    raise ConfigError(
        f"no model is known as {key!r}: choose {known}, or give the folder of a checkpoint"
    )
