"""What a Chrome JSON trace says of itself, before its events."""

from __future__ import annotations

import math
from typing import Any

from idlescope.export.perfetto.layout import Layout
from idlescope.trace.model import Device

# Entries of `Trace.meta` that speak of the file that was read.
READERS_OWN = frozenset({"path", "events", "time_offset_ns"})


def header(layout: Layout) -> dict[str, Any]:
    """Return the document without its events: devices, the clock, and `idlescope`, our own part."""
    trace = layout.trace
    entries = trace.meta.to_json()
    own_entries = {
        entry_key: _finite(entry_value)
        for entry_key, entry_value in entries.items()
        if entry_key not in READERS_OWN
    }
    if layout.offset:
        own_entries["time_offset_ns"] = layout.offset
    process_names = {
        str(layout.pids[process]): process_name
        for process, process_name in layout.process_names.items()
        if process_name
    }
    if any(
        process_id != process_name for process_id, process_name in process_names.items()
    ):
        own_entries["process_names"] = process_names
    document: dict[str, Any] = {
        "schemaVersion": 1,
        "displayTimeUnit": "ns",
        "deviceProperties": [
            _device_properties(layout, device) for device in trace.devices
        ],
    }
    if "distributedInfo" in own_entries:
        document["distributedInfo"] = own_entries["distributedInfo"]
    base_ns = own_entries.get("baseTimeNanoseconds")
    if isinstance(base_ns, int):
        document["baseTimeNanoseconds"] = base_ns + layout.offset
    document["idlescope"] = own_entries
    return document


def _device_properties(layout: Layout, device: Device) -> dict[str, Any]:
    properties: dict[str, Any] = {"id": device.index, "name": device.name}
    if layout.several_processes:
        properties["process"] = layout.pids[device.process]
    if device.identity:
        properties["uuid"] = device.identity
    return properties


def _finite(value: Any) -> Any:
    """Return a JSON value without the NaN and infinities that are no JSON."""
    if isinstance(value, dict):
        return {entry_key: _finite(entry) for entry_key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
