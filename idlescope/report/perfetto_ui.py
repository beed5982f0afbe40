"""Where the Perfetto UI is, and how an address tells it what to show of a trace.

Read in the sources of Perfetto v52.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto.tracks import stream_label

ORIGIN = "https://ui.perfetto.dev"
PORT = 9001  # the only one of this machine that the UI's content security policy lets it read from


def address(trace_url: str, show: str = "", ui: str = ORIGIN) -> str:
    """Return the address at which the UI fetches a trace, and shows of it what `shown` says."""
    return f"{ui}/#!/?url={quote(trace_url, safe=':/')}{show}"


def shown(view: tuple[int, int], result: DeviceResult) -> str:
    """Return what is added to an address to land on a stretch of time.

    `view` is in ns of the file, and must lie within it. Pinned to the top are a device's gaps, the
    stream that computed most and its idle time; the groups of tracks of the host and of the device
    are open. Behind the name of a track or a group, Perfetto writes its number.
    """
    busiest = max(
        result.streams, key=lambda stream: (stream["compute_ns"], stream["active_ns"])
    )
    stream = re.escape(stream_label(busiest["stream"]))
    device = re.escape(result.device.name or f"device {result.device.index}")
    commands = {
        "PinTracksByRegex": rf"^(gaps|{stream}) \d+$|^idle %$",
        "ExpandTracksByRegex": rf"^host\b|^{device}\b",
    }
    startup = [
        {"id": f"dev.perfetto.{command_name}", "args": [pattern]}
        for command_name, pattern in commands.items()
    ]
    view_start, view_end = view
    arguments = {
        "visStart": view_start,
        "visEnd": view_end,
        "startupCommands": json.dumps(startup, separators=(",", ":")),
    }
    return "&" + urlencode(arguments, quote_via=quote)
