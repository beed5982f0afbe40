"""A server's own counters: its Prometheus page, read at an instant."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from idlescope.capture.server.address import ServerEngine
from idlescope.capture.server.client import Client

# Of the Prometheus text format: name{labels} value [timestamp]
SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(\{.*\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*")

Series = Mapping[str, float]  # by labels


@dataclass(frozen=True)
class Reading:
    """The counters of an engine at an instant."""

    time_s: float  # of time.monotonic
    values: Mapping[str, Series]  # by name

    def series(self, name: str) -> Series:
        """Return a counter of each of the server's processes; empty where there is none."""
        return self.values.get(name, {})

    def total(self, name: str) -> float | None:
        """Return a counter summed over the server's processes; None where there is none."""
        series = self.series(name)
        return sum(series.values()) if series else None


def read(client: Client) -> Reading | None:
    """Return the engine's counters now; None where the server shows none.

    Raises NotStartedError where the server cannot be reached.
    """
    return read_named(client, (f"{ServerEngine(client.server.engine).value}:",))


def read_named(client: Client, prefixes: tuple[str, ...]) -> Reading | None:
    """Return the counters now whose names begin with one of the prefixes; None where none does.

    Raises NotStartedError where the server cannot be reached.
    """
    for place in client.server.places("metrics"):
        start = time.monotonic()
        page = client.get(place)
        end = time.monotonic()
        if page is not None and (values := parse(page, prefixes)):
            return Reading((start + end) / 2, values)
    return None


def parse(page: str, prefixes: str | tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return the samples of a Prometheus page whose names begin so, by name and labels.

    Buckets of histograms are left out, and lines that cannot be read.
    """
    values: dict[str, dict[str, float]] = {}
    for line in page.splitlines():
        sample = SAMPLE.fullmatch(line) if line.startswith(prefixes) else None
        if sample is None or sample[1].endswith("_bucket"):
            continue
        try:
            value = float(sample[3])
        except ValueError:
            continue
        values.setdefault(sample[1], {})[sample[2] or ""] = value
    return values
