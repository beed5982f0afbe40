"""Match a user's rules with names: each by itself, and never for longer than a deadline.

A regular expression such as `(a+)+$` takes longer than anyone waits on some names, and nothing in
this process can stop it. What could be such a one is matched by a child process, which can be.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping

from idlescope.children.start import command
from idlescope.errors import ConfigError
from idlescope.trace.names.engines import Rules

DEADLINE_S = 5.0
REPEATS = re.compile(r"[*+}]")
REPEATED_GROUP = re.compile(r"\)[*+{]")
MOST_REPEATS = 2  # of parts of a rule that match quickly in any name

Matches = dict[int, int]  # code of a name -> index of the first rule that matches it


def first_matches(engine: str, rules: Rules, names: Mapping[int, str]) -> Matches:
    """Return for each name, by its code, the first rule that is found in it.

    Raises ConfigError where that takes too long.
    """
    patterns = [pattern for pattern, _ in rules]
    if not any(map(_may_take_long, patterns)):
        return _matched(patterns, names)
    request = json.dumps({"patterns": patterns, "names": list(names.items())})
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            command("idlescope.trace.names.user_rules"),
            input=request.encode(),
            capture_output=True,
            timeout=DEADLINE_S,
            check=True,
        )
        return {int(code): int(rule) for code, rule in json.loads(child.stdout)}
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"--phases: a regular expression of engine {engine!r} takes over {DEADLINE_S:g} s on "
            "the names of this trace: write it without a repeat within a repeat"
        ) from None
    except (OSError, ValueError, subprocess.CalledProcessError):
        return _matched(patterns, names)  # no child to be had


def _may_take_long(pattern: str) -> bool:
    repeats = len(REPEATS.findall(pattern))
    return repeats > MOST_REPEATS or (repeats > 1 and bool(REPEATED_GROUP.search(pattern)))


def _matched(patterns: list[str], names: Mapping[int, str]) -> Matches:
    matches: Matches = {}
    rules = [re.compile(pattern) for pattern in patterns]
    for code, name in names.items():
        for rule_index, rule in enumerate(rules):
            if rule.search(name):
                matches[code] = rule_index
                break
    return matches


def _main() -> None:
    request = json.load(sys.stdin)
    matches = _matched(request["patterns"], dict(request["names"]))
    json.dump(list(matches.items()), sys.stdout)


if __name__ == "__main__":
    _main()
