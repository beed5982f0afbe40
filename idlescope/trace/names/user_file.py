"""Span names that a user adds: the file of `--phases`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.trace.names.engines import Rules


def load(path: Path) -> dict[str, Rules]:
    """Return the engines in a phases file: JSON `{"engine": [["regular expression", "phase"], …]}`.

    Raises ConfigError, one sentence, where it is no such file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--phases {path} cannot be read: {error}") from error
    engines: dict[str, Rules] = {}
    for engine, rules in document.items() if isinstance(document, dict) else ():
        if engine.startswith("_"):  # a comment
            continue
        for rule in rules if isinstance(rules, list) else [rules]:
            if not (
                isinstance(rule, list)
                and len(rule) == 2
                and all(isinstance(part, str) for part in rule)
            ):
                raise ConfigError(
                    f'--phases {path}, engine {engine!r}: {rule!r} is not ["regular expression", "phase"]'
                )
            try:
                re.compile(rule[0])
            except re.error as error:
                raise ConfigError(
                    f"--phases {path}, engine {engine!r}: {rule[0]!r} is no regular expression ({error})"
                ) from error
        engines[engine] = tuple((rule, phase) for rule, phase in rules)
    if not engines:
        raise ConfigError(
            f'--phases {path} names no engine: give {{"engine": [["regular expression", "phase"], …]}}'
        )
    return engines
