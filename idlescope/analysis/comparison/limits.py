"""What a trace must keep to, as numbers or as texts such as "5%"."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields

from idlescope.errors import ConfigError

_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)\s*(%?)$")


@dataclass(frozen=True)
class Limits:
    """What a trace must keep to; None where it need not. `of` makes them from texts."""

    max_idle: float | None = None  # % of the window
    max_idle_ms_per_step: float | None = None
    max_exposed_communication: float | None = None  # % of the window
    max_waiting: float | None = (
        None  # % of the window in which a rank only waits for others
    )
    min_coverage: float | None = None  # %, as `covered_pct` says
    max_regression: float | None = None  # % of the base's time per step, or per token
    max_creep: float | None = None  # % of the best level of a history

    @classmethod
    def of(cls, **limits: float | str | None) -> Limits:
        """Return limits given as numbers or texts; None is no limit.

        Raises ConfigError for a limit that there is not, and for what is no number.
        """
        known = [field.name for field in fields(cls)]
        for name in limits:
            if name not in known:
                raise ConfigError(f"{name} is no limit: give {', '.join(known)}")
        given = {
            name: _number(name, value)
            for name, value in limits.items()
            if value is not None
        }
        return cls(**given)

    def given(self) -> bool:
        """Return whether there is any limit."""
        return any(value is not None for value in asdict(self).values())


def option(name: str) -> str:
    """Return a limit as the command line calls it."""
    return f"--{name.replace('_', '-')}"


def _number(name: str, value: float | str) -> float:
    in_milliseconds = name.endswith("_ms_per_step")
    if isinstance(value, (int, float)) and 0 <= value < float("inf"):
        return float(value)
    match = _NUMBER.match(str(value).strip())
    if match is None or (in_milliseconds and match[2]):
        form = "per cent, as in 5%"
        if in_milliseconds:
            form = "a number of milliseconds, as in 0.3"
        raise ConfigError(f"{option(name)} {value}: give {form}")
    number = float(match[1])
    if not in_milliseconds and not match[2] and 0 < number < 1:
        share = f"{100 * number:g}%"
        raise ConfigError(
            f"{option(name)} {value}: {value} what? write {value}% or {share}"
        )
    return number
