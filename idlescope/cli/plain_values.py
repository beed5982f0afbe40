"""Values of options that are what was typed: newer releases of typer import pydantic for any value.

That takes a tenth of a second, a quarter of a command's start. What was not given, plain texts and
paths are taken here; everything else, and every error, is typer's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PLAIN_TYPES = (str, Path)


def with_plain_values(parameters: Sequence[Any]) -> Sequence[Any]:
    """Return the parameters of a command, which take plain values by themselves from here on.

    Parameters are click's: of another package in newer releases of typer.
    """
    for parameter in parameters:
        # Releases that import nothing for a value do not describe types so.
        if hasattr(parameter, "type_descriptor") and "process_value" not in vars(parameter):
            _take_plain_values(parameter)
    return parameters


def _take_plain_values(parameter: Any) -> None:
    typers_own = parameter.process_value
    value_type = parameter.type_descriptor.annotation
    is_several = parameter.multiple or parameter.nargs == -1

    def process_value(context: Any, value: Any) -> Any:
        if value is None and not parameter.required:
            plain_value: Any = () if is_several else None
        elif value_type in PLAIN_TYPES and _is_plain(value, value_type):
            plain_value = value_type(value)
        else:
            return typers_own(context, value)
        if parameter.callback is None:
            return plain_value
        return parameter.callback(context, parameter, plain_value)

    parameter.process_value = process_value


def _is_plain(value: Any, value_type: type) -> bool:
    """Return whether a value is as it was typed, and nothing is to be said of it."""
    try:
        if not isinstance(value, str) or not value.isprintable():
            return False
        return value_type is str or not os.path.exists(value) or os.access(value, os.R_OK)
    except ValueError:  # a path that cannot be one
        return False
