"""Where the Perfetto UI is, and how an address tells it what to show of a trace (read in its sources, v52)."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

from idlescope.analysis.result import DeviceResult

ORIGIN = "https://ui.perfetto.dev"
PORT = 9001  # the only one of this machine that the UI's content security policy lets it read from


def address(trace_url: str, view: tuple[int, int] | None = None, pinned: str = "", ui: str = ORIGIN) -> str:
    """Return the address at which the UI fetches a trace, and shows of it what `shown` says."""
    return f"{ui}/#!/?url={quote(trace_url, safe=':/')}{shown(view, pinned)}"


def shown(view: tuple[int, int] | None, pinned: str = "") -> str:
    """Return what is added to an address for a stretch of time, in ns of the file, and for tracks pinned to the top.

    The stretch must lie within the trace; `pinned` is a regular expression that is searched for in names of tracks.
    """
    arguments = {} if view is None else {"visStart": str(view[0]), "visEnd": str(view[1])}
    if pinned:
        arguments["startupCommands"] = json.dumps(
            [{"id": "dev.perfetto.PinTracksByRegex", "args": [pinned]}], separators=(",", ":")
        )
    return "".join(f"&{urlencode({k: v}, quote_via=quote)}" for k, v in arguments.items())


def gaps_and_compute(result: DeviceResult) -> str:
    """Return the regular expression of a device's gaps, the stream that computed most, and idle time.

    Behind a track's name Perfetto writes its tid.
    """
    stream = max(result.streams, key=lambda s: (s["compute_ns"], s["active_ns"]))["stream"]
    return rf"^(gaps|{re.escape(stream)}) \d+$|^idle %$"
