"""How long requests may take: what `--target` asks for, such as `token:20ms`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from idlescope.errors import ConfigError

FIGURES = {  # in `--target` -> in summary.json, and in words
    "token": ("time_per_output_token_ms", "time per output token"),
    "ttft": ("ttft_ms", "time to the first token"),
    "latency": ("latency_ms", "latency"),
}
_FORM = re.compile(r"^(token|ttft|latency):(\d+(?:\.\d+)?)(us|ms|s)?$")
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Target:
    """The most that a latency of 99 of 100 requests may be."""

    figure: str  # a key of FIGURES
    most_ms: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Return what a text asks for. Raises ConfigError where it is none of the forms."""
        match = _FORM.match(text)
        if match is None:
            raise ConfigError(
                f"--target is {text!r}: give token:20ms, ttft:500ms or latency:10s, what 99 of "
                "100 requests may take at most"
            )
        figure, number, unit = match.groups()
        if unit is None:
            wanted = f"{figure}:{number}ms, {figure}:{number}s"
            raise ConfigError(f"--target {text}: {number} what? write {wanted}")
        return cls(figure, float(number) * _UNITS_MS[unit])

    @property
    def key(self) -> str:
        """Return the latency's key in a mode of summary.json."""
        return FIGURES[self.figure][0]

    def text(self) -> str:
        """Return the target in words."""
        return f"a {FIGURES[self.figure][1]} of {self.most_ms:g} ms (p99)"
