"""What is to be different in a prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from idlescope.errors import ConfigError

MAX_DEPTH = 64
MAX_FACTOR = 1000.0
IN_WORDS = {1: "synchronous", 2: "asynchronous"}  # by depth


@dataclass(frozen=True)
class WhatIf:
    """What is to be different; checked when it is made.

    Raises ConfigError where the depth or a factor is out of range.
    """

    depth: int = 2  # steps in flight: 1 is synchronous, 2 asynchronous batching
    host: float = 1.0  # factor of host work
    device: float = 1.0  # factor of the device's compute time
    graphs: bool = (
        False  # steps that launch kernels one by one launch one CUDA graph instead
    )
    pinned: bool = False  # copies of unpinned memory cost the host nothing
    without: str | None = None  # a phase, span or range of the host that costs nothing

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ConfigError(
                f"--depth is {self.depth}: give 1 (synchronous) to {MAX_DEPTH} steps in flight"
            )
        for name, factor in (("host", self.host), ("device", self.device)):
            if not 0.0 <= factor <= MAX_FACTOR:
                raise ConfigError(
                    f"--{name} is {factor}: give a factor from 0 to {MAX_FACTOR:.0f}, such as 0.5"
                )

    def words(self) -> list[str]:
        """Return the options of `idlescope predict` that ask for this."""
        words = []
        for name, value in asdict(self).items():
            if value is True:
                words.append(f"--{name}")
            elif value != getattr(WhatIf, name):
                shown = f"{value:g}" if isinstance(value, float) else str(value)
                words += [f"--{name}", shown]
        return words

    def text(self) -> str:
        """Return what is different, in words."""
        words = [IN_WORDS.get(self.depth, f"{self.depth} in flight")]
        if self.host != 1.0:
            words.append(f"host × {self.host:g}")
        if self.device != 1.0:
            words.append(f"device × {self.device:g}")
        if self.graphs:
            words.append("graphs")
        if self.pinned:
            words.append("copies pinned")
        if self.without:
            words.append(f"no {self.without}")
        return ", ".join(words)
