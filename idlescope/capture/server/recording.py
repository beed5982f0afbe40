"""What is to be recorded of which server."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from idlescope.capture.server.address import KEY_VARIABLE, Server, ServerEngine
from idlescope.errors import ConfigError

SECONDS = 5.0  # to record, unless so many steps are asked for
STEPS_LIMIT_S = 60.0  # to wait for so many steps, unless given


@dataclass(frozen=True)
class Recording(Server):
    """What is to be recorded. Raises ConfigError, one clear sentence, where that cannot be.

    The profiler's endpoints are below the URL; `timeout` is for the trace files, too.
    """

    traces: Path  # where the server writes, as seen from here
    seconds: float | None = (
        None  # to record; with `steps`, the longest time to wait for them
    )
    steps: int | None = None
    stacks: bool = False
    shapes: bool = False
    ranks: int | None = None  # trace files to wait for; None: until no more appear

    def __post_init__(self) -> None:
        if self.engine not in list(ServerEngine):
            raise ConfigError(f"--engine is {self.engine}: give vllm or sglang")
        for option, value in (("seconds", self.longest_s), ("timeout", self.timeout)):
            if not (math.isfinite(value) and 0 < value <= 86_400):
                raise ConfigError(
                    f"--{option} is {value:g}: give more than 0 seconds, and a day at most"
                )
        for option, count in (("ranks", self.ranks), ("steps", self.steps)):
            if count is not None and count < 1:
                raise ConfigError(f"--{option} is {count}: give 1 or more")
        _ = self.address
        if not self.traces.is_dir():
            raise ConfigError(
                f"{self.traces} is no folder: "
                "give --traces the one that the server writes its traces to"
            )

    @property
    def longest_s(self) -> float:
        """Return how long it records at the most."""
        if self.seconds is not None:
            return self.seconds
        return SECONDS if self.steps is None else STEPS_LIMIT_S

    def by_hand(self, with_key: bool) -> str:
        """Return the command that stops the server's profiler without idlescope."""
        command = ["curl", "-X", "POST", self.endpoint("stop_profile")]
        line = shlex.join(command)
        return f'{line} -H "Authorization: Bearer ${KEY_VARIABLE}"' if with_key else line
