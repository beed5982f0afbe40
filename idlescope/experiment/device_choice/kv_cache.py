"""How large a KV cache a device has room for beside the model's weights."""

from __future__ import annotations

from dataclasses import replace

from idlescope.engine.running_rows import Shape
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.base import DeviceChoice


def shape(config: RunConfig, choice: DeviceChoice) -> tuple[Shape, str | None]:
    """Return the sizes of a run's arrays, and a warning where a modelled GPU is too small.

    Unless given there are as many KV blocks as the memory left beside the weights holds, but no
    more than all rows can fill. Raises ConfigError where a measured device is too small.
    """
    cache_shape = config.shape(0)
    most_blocks = cache_shape.rows * cache_shape.table_width
    if config.kv_blocks is not None:
        return replace(cache_shape, blocks=config.kv_blocks), None
    problem = misfit(config, choice)
    if problem is None:
        blocks = min(most_blocks, free_blocks(config, choice))
        return replace(cache_shape, blocks=blocks), None
    if choice.measured:
        raise ConfigError(
            f"{problem}: take a smaller model or fewer tokens, or --device modelled"
        )
    return replace(
        cache_shape, blocks=most_blocks
    ), f"{problem}: modelled as if it all fitted"


def misfit(config: RunConfig, choice: DeviceChoice) -> str | None:
    """Return why the model and its longest request do not fit a device; None where they do."""
    cache_shape = config.shape(0)
    if free_blocks(config, choice) >= cache_shape.table_width:
        return None
    chosen_model, device_memory = choice.model(config), choice.memory()
    request_bytes = chosen_model.kv_bytes_per_token * cache_shape.length
    needed = (chosen_model.weight_bytes + request_bytes) / 1e9
    return (
        f"{chosen_model.name} with one request of {cache_shape.length} tokens "
        f"needs {needed:.1f} GB and "
        f"{device_memory.owner} has {device_memory.usable_bytes / 1e9:.1f} GB to use"
    )


def free_blocks(config: RunConfig, choice: DeviceChoice) -> int:
    """Return how many KV blocks the memory left beside the weights holds.

    Negative where not even those fit.
    """
    chosen_model = choice.model(config)
    left_bytes = choice.memory().usable_bytes - chosen_model.weight_bytes
    block_bytes = chosen_model.kv_bytes_per_token * config.block_size
    return int(left_bytes // block_bytes)
