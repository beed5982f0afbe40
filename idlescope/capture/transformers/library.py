"""The transformers library: imported where it is wanted, quiet, and as its versions differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from logging import CRITICAL
from types import ModuleType
from typing import Any

from idlescope.errors import ConfigError

LEAST_VERSION = "5.17"


def transformers_library() -> ModuleType:
    """Return transformers. Raises ConfigError where it is missing or too old."""
    try:
        import transformers
        from transformers.generation.configuration_utils import (
            ContinuousBatchingConfig,  # noqa: F401 - older versions have none
        )
    except ImportError as error:
        raise ConfigError(
            f"--engine transformers needs transformers {LEAST_VERSION} or later "
            f"({first_line(error)}): pip install 'idlescope[transformers]'"
        ) from error
    return transformers


def batching_config(**options: Any) -> Any:
    """Return transformers' configuration of continuous batching. Raises ConfigError."""
    transformers_library()
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    return ContinuousBatchingConfig(**options)


def switches_attention() -> bool:
    """Return whether this version replaces the attention that was set: later than 5.17 does."""
    transformers_library()
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    return any(
        field.name == "auto_switch_to_flash" for field in fields(ContinuousBatchingConfig)
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' messages and bars off the terminal: what matters is in its errors."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    had_progress_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_progress_bar:
            logging.enable_progress_bar()


def first_line(error: object) -> str:
    """Return the first line of an error's message, without the full stop."""
    return str(error).strip().split("\n", 1)[0].rstrip(".")
