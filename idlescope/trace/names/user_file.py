"""Span names that a user adds: the file of `--phases`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from idlescope.errors import ConfigError
from idlescope.trace.names.engines import Rules

_FORM = '{"engine": [["regular expression", "phase"], …]}'


def load(path: Path) -> dict[str, Rules]:
    """Return the engines in a phases file: JSON `{"engine": [["regular expression", "phase"], …]}`.

    Entries whose name begins with "_" are comments. Raises ConfigError, one sentence, where it is
    no such file.
    """
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
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
    except msgspec.DecodeError as error:
        raise ConfigError(
            f'{where}: {bytes(entry).decode(errors="replace")} is not [["regular expression", '
            f'"phase"], …] ({error})'
        ) from error
    for pattern, _ in engine_rules:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{where}: {pattern!r} is no regular expression ({error})"
            ) from error
    return engine_rules
