"""An option of a run: one field of a dataclass that carries its help, its bounds and its group.

The check of its value, and its place on the command line, are made from that field: a new option is
one field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple

from idlescope.errors import ConfigError

_KEY = "option"  # of a field's metadata


class Group(str, Enum):
    """A heading of `idlescope run --help`."""

    REQUESTS = "Model and requests"
    ENGINE = "Engine and device"
    SAMPLING = "Sampling, not on a modelled GPU"
    MEASUREMENT = "Measurement"


@dataclass(frozen=True)
class Option:
    """What is known of an option beside its name, type and default, which its field has."""

    help: str
    group: Group
    lowest: float | None = None
    highest: float | None = None  # only with `lowest`
    quantity: str = "a number"  # what lies between the bounds
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    swept: bool = False  # `idlescope sweep` has it, too, with one value for all cells

    def problem(self, name: str, value: Any) -> str | None:
        """Return in a sentence why the option of that name cannot have a value.

        None where it can, or has none.
        """
        if value is None:
            return None
        if self.choices and value not in self.choices:
            known_choices = ", ".join(self.choices)
            return f"no {name.replace('_', ' ')} is called {value!r}: choose one of {known_choices}"
        if self._holds(value):
            return None
        return f"{flag(name)} is {value}: give {self.bounds()}"

    def bounds(self) -> str | None:
        """Return the bounds in words; None where there are none."""
        if self.lowest is None:
            return None
        if self.highest is None:
            return f"at least {self.lowest:g}"
        return f"{self.quantity} from {self.lowest:g} to {self.highest:.0f}"

    def _holds(self, value: float) -> bool:
        """Return whether a value is within the bounds; no bound holds for NaN."""
        not_below = self.lowest is None or value >= self.lowest
        not_above = self.highest is None or value <= self.highest
        return not_below and not_above


class Described(NamedTuple):
    """One option of a configuration."""

    name: str
    default: Any
    option: Option


def option(default: Any, **description: Any) -> Any:
    """Return a dataclass field that is an option; the keywords are those of `Option`."""
    return field(default=default, metadata={_KEY: Option(**description)})


def options_of(config: type) -> Iterator[Described]:
    """Yield every option of a configuration's class, in the order of its fields."""
    config_fields: tuple[Field[Any], ...] = fields(config)
    for config_field in config_fields:
        if _KEY in config_field.metadata:
            yield Described(
                config_field.name, config_field.default, config_field.metadata[_KEY]
            )


def check(config: Any) -> None:
    """Hold every option of a configuration to its choices and bounds.

    Raises ConfigError for the first that is not.
    """
    for option_name, _, described in options_of(type(config)):
        problem = described.problem(option_name, getattr(config, option_name))
        if problem is not None:
            raise ConfigError(problem)


def changed(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options that are not at their default."""
    for option_name, default, _ in options_of(type(config)):
        option_value = getattr(config, option_name)
        if option_value != default:
            yield option_name, option_value


def flag(name: str) -> str:
    """Return how an option is spelled on the command line."""
    return f"--{name.replace('_', '-')}"
