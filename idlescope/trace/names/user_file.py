"""Span names that a user adds: the file of `--phases`."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import msgspec

from idlescope.errors import ConfigError
from idlescope.plain_files import read_plain
from idlescope.trace.names.engines import Rules

_FORM = '{"engine": [["regular expression", "phase"], …]}'

MOST_BYTES = 16 << 20
SHOWN_BYTES = 200  # of what is wrong


def load(path: Path) -> dict[str, Rules]:
    """Return the engines in a phases file: JSON `{"engine": [["regular expression", "phase"], …]}`.

    Entries whose name begins with "_" are comments. Raises ConfigError, one sentence, where it is
    no such file.
    """
    try:
        entries = msgspec.json.decode(
            read_plain(path, MOST_BYTES), type=dict[str, msgspec.Raw]
        )
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"--phases {path} cannot be read: {error}; give {_FORM}"
        ) from error
    engines = {
        engine_name: _rules(f"--phases {path}, engine {engine_name!r}", rules_entry)
        for engine_name, rules_entry in entries.items()
        if not engine_name.startswith("_")
    }
    if not engines:
        raise ConfigError(f"--phases {path} names no engine: give {_FORM}")
    return engines


def _rules(where: str, entry: msgspec.Raw) -> Rules:
    try:
        engine_rules = msgspec.json.decode(entry, type=Rules)
    except (ValueError, RecursionError) as error:
        shown_entry = bytes(entry)[:SHOWN_BYTES].decode(errors="replace")
        raise ConfigError(
            f'{where}: {shown_entry} is not [["regular expression", "phase"], …] ({error})'
        ) from error
    for pattern, _ in engine_rules:
        _check(where, pattern)
    return engine_rules


def _check(where: str, pattern: str) -> None:
    """Raise ConfigError for what is no regular expression by itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what another version may read otherwise
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"{where}: {pattern[:SHOWN_BYTES]!r} is no regular expression ({error})"
        ) from error
