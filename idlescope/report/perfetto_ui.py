"""Where the Perfetto UI is, and how an address tells it what to show of a trace.

Read in the sources of Perfetto v52.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto.tracks import stream_label

ORIGIN = "https://ui.perfetto.dev"
GAPS = "gaps"  # what their track is called
PORT = 9001  # the only one of this machine that the UI's content security policy lets it read from


def address(trace_url: str, show: str = "", ui: str = ORIGIN) -> str:
    """Return the address at which the UI fetches a trace, and shows of it what `shown` says."""
    return f"{ui}/#!/?url={quote(trace_url, safe=':/')}{show}"


def shown(view: tuple[int, int], result: DeviceResult) -> str:
    """Return what is added to an address to land on a stretch of time.

    `view` is in ns of the file, and must lie within it. On top are the stream that computed most, a
    device's gaps and its idle time; the groups of tracks of the host and of the device are open.
    Behind the name of a track or a group, Perfetto writes its number.
    """
    busiest = max(
        result.streams, key=lambda stream: (stream["compute_ns"], stream["active_ns"])
    )
    stream = stream_label(busiest["stream"])
    device = result.device.name or f"device {result.device.index}"
    # A thread's group and its only track have one name: a pattern pins both, and the group's row is
    # empty. So a row of its own is added on top for what a thread shows.
    startup = [
        _command("AddDebugSliceTrack", _slices(device, stream), stream),
        _command("AddDebugSliceTrack", _slices(device, GAPS), GAPS),
        _command("PinTracksByRegex", "^idle %$"),
        _command("ExpandTracksByRegex", rf"^host\b|^{re.escape(device)}\b"),
    ]
    view_start, view_end = view
    arguments = {
        "visStart": view_start,
        "visEnd": view_end,
        "startupCommands": json.dumps(startup, separators=(",", ":")),
    }
    return "&" + urlencode(arguments, quote_via=quote)


def _command(name: str, *arguments: str) -> dict[str, Any]:
    return {"id": f"dev.perfetto.{name}", "args": list(arguments)}


def _slices(device: str, track: str) -> str:
    """Return the query of what stands on a track of a device."""
    return (
        "select s.ts, s.dur, s.name from slice s join thread_track k on k.id = s.track_id "  # noqa: S608
        "join thread t using (utid) join process p using (upid) "
        f"where t.name = {_quoted(track)} and p.name = {_quoted(device)}"
    )


def _quoted(text: str) -> str:
    """Return a text as SQL has it."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
