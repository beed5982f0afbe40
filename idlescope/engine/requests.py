"""Requests: what a user asks the engine for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from idlescope.errors import ConfigError
from idlescope.trace.table import Int32


class Finish(str, Enum):
    """Why a request ended."""

    LENGTH = "length"
    STOP = "stop"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Request:
    """One prompt to continue. `output` grows as tokens are retrieved from the device."""

    id: int
    prompt: Int32
    max_tokens: int
    stop_ids: tuple[
        int, ...
    ] = ()  # EOS and stop ids: the token that matches is the last one
    arrival_ns: int = 0
    output: list[int] = field(
        default_factory=list
    )  # filled when the request leaves its row
    finish: Finish | None = None
    preemptions: int = 0
    first_token_ns: int | None = None
    finished_ns: int | None = None

    def __post_init__(self) -> None:
        if not len(self.prompt):
            raise ConfigError(
                f"request {self.id} has an empty prompt: give at least one token"
            )
        if self.max_tokens < 1:
            raise ConfigError(
                f"request {self.id} asks for {self.max_tokens} tokens: ask for at least one"
            )

    @property
    def known_length(self) -> int:
        """Return the tokens of the prompt and of the output that the host has."""
        return len(self.prompt) + len(self.output)

    @property
    def limit(self) -> int:
        """Return the length of prompt and output at which the request ends."""
        return len(self.prompt) + self.max_tokens
