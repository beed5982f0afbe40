"""What a Kineto file says of itself beside its events: devices, lost records, recording options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from idlescope.trace.damage import LOSS, NO_DEVICE_RECORDS
from idlescope.trace.kineto.processes import Origin
from idlescope.trace.model import Device

# Entries of the document that go into Trace.meta as they are.
KEPT_ENTRIES = (
    "distributedInfo",
    "trace_id",
    "baseTimeNanoseconds",
    "with_stack",
    "record_shapes",
    "profile_memory",
)
# Kineto writes its own log into the file: a list of messages under each of these keys.
LOG_LEVELS = ("WARNING", "ERROR")


def device_properties(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the properties of each device, as far as they can be read."""
    properties = document.get("deviceProperties")
    if isinstance(properties, str):  # some tools write the list as text
        try:
            properties = json.loads(properties.replace("'", '"'))
        except (ValueError, RecursionError):
            return []
    if not isinstance(properties, list):
        return []
    return [entry for entry in properties if isinstance(entry, dict)]


def devices(
    origin: Origin, document: Mapping[str, Any], process_labels: Mapping[str, Any]
) -> tuple[Device, ...]:
    """Return the devices of a file, in the order of `origin.devices`.

    `process_labels` are the names of processes that are more than their pid.
    """
    # our own files of several processes say whose device an entry is
    entries = {
        (str(entry.get("process", "")), str(entry.get("id"))): entry
        for entry in device_properties(document)
    }
    found_devices = []
    for process, index in origin.devices:
        pid = origin.process_names[process]
        entry = entries.get((pid, str(index))) or entries.get(("", str(index)), {})
        device = Device(
            process=process,
            index=index,
            name=str(entry.get("name", "")),
            process_name=str(process_labels.get(pid, pid)),
            identity=str(entry.get("uuid", "")),
        )
        found_devices.append(device)
    return tuple(found_devices)


def dropped(document: Mapping[str, Any]) -> list[str]:
    """Return what the profiler says that it lost."""
    return [text for text in _messages(document) if LOSS.search(text)]


def profiler_errors(document: Mapping[str, Any]) -> list[str]:
    """Return what the profiler says of why it could not record the device."""
    return [text for text in _messages(document) if NO_DEVICE_RECORDS.search(text)]


def _messages(document: Mapping[str, Any]) -> list[str]:
    logs = [document.get(level) for level in LOG_LEVELS]
    messages = [message for log in logs if isinstance(log, list) for message in log]
    return [text for text in messages if isinstance(text, str)]
