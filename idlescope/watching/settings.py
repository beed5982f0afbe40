"""What the environment says of the watch; plugins read it, and nothing else turns them on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from idlescope.errors import ConfigError

PREFIX = "IDLESCOPE_WATCH"
MOST_DIGITS = 18  # of a number; Python takes none of thousands
OFF = ("", "0", "off")
BEST = ("1", "on")  # the best way that there is
WAYS = ("events", "activity", "host")
STEPS = 4_096
FEWEST_STEPS = 16
RECORDINGS = 8
LOOPBACK = "127.0.0.1"
LAST_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Raises ConfigError, in `read`, for a value that makes no sense."""

    on: bool = False
    way: str | None = None  # one of WAYS; None: the best that there is
    folder: Path = Path()  # of what processes write of themselves, and of recordings
    port: int = 0  # 0: a free one
    host: str = LOOPBACK
    steps: int = STEPS  # in the ring
    record_when: str = ""  # a rule, such as `idle > 10% for 30s`
    recordings: int = RECORDINGS  # kept at most
    otel: bool = False  # whether OpenTelemetry's meter provider is told, too

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Return what the environment says."""
        asked = environment.get(PREFIX, "").strip().lower()
        if asked not in (*OFF, *BEST, *WAYS):
            choices = ", ".join(("0", "1", *WAYS))
            raise ConfigError(f"{PREFIX} is {asked!r}: give one of {choices}")
        folder = environment.get(f"{PREFIX}_FOLDER")
        return cls(
            on=asked not in OFF,
            way=asked if asked in WAYS else None,
            folder=Path(folder) if folder else default_folder(environment),
            port=_number(environment, "PORT", 0, 0, LAST_PORT),
            host=environment.get(f"{PREFIX}_HOST", "").strip() or LOOPBACK,
            steps=_number(environment, "STEPS", STEPS, FEWEST_STEPS, 1_000_000),
            record_when=environment.get(f"{PREFIX}_RECORD_WHEN", "").strip(),
            otel=environment.get(f"{PREFIX}_OTEL", "").strip() in BEST,
            recordings=_number(environment, "RECORDINGS", RECORDINGS, 1, 10_000),
        )

    def changed(
        self,
        steps: int | None,
        folder: str | Path | None,
        port: int | None,
        record_when: str | None,
    ) -> Settings:
        """Return the settings with what is given in place of what the environment says."""
        if (steps is not None and steps < FEWEST_STEPS) or (
            port is not None and not 0 <= port <= LAST_PORT
        ):
            raise ConfigError(
                f"steps={steps}, port={port}: give at least {FEWEST_STEPS} steps, "
                f"and a port up to {LAST_PORT}"
            )
        return replace(
            self,
            steps=self.steps if steps is None else steps,
            folder=self.folder if folder is None else Path(folder),
            port=self.port if port is None else port,
            record_when=self.record_when if record_when is None else record_when,
        )


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of this user's watches, where none is given."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) if runtime else Path(tempfile.gettempdir())
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return parent / f"idlescope-watch-{user}"


def _number(
    environment: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    text = environment.get(f"{PREFIX}_{name}", "").strip()
    if not text:
        return default
    digits = text if len(text) <= MOST_DIGITS else ""
    if not digits.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(
            f"{PREFIX}_{name} is {text!r}: give a number from {least:,} to {most:,}"
        )
    return int(text)
