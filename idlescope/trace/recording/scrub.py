"""Scrub a recording: the folder that `idlescope run` and `idlescope convert` write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Device, Trace
from idlescope.trace.recording import files
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import cleaned
from idlescope.trace.scrub.texts import Texts


def scrub(
    source: Path, target: Path, result: Scrubbed, progress: Callable[[int], None] | None = None
) -> None:
    """Write the recording anew: tables as they are, texts cleaned, names that no row has left out.

    Raises TraceError where the source is no whole recording.
    """
    trace, texts = files.read(source), Texts(result)
    tables = {name: getattr(trace, name) for name in files.TABLES}

    # renumber the names that some row has: the others go
    used_names = np.unique(np.concatenate([table.name for table in tables.values()])).tolist()
    new_code = np.full(len(trace.names), -1, np.int32)
    new_code[used_names] = np.arange(len(used_names))
    renumbered = {name: table.replace(name=new_code[table.name]) for name, table in tables.items()}

    result.remove("names that no record has", len(trace.names) - len(used_names))
    result.names += len(used_names) + len(trace.threads)
    result.remove("names of processes", len(_named_processes(trace)))
    cleaned_trace = Trace(
        **renumbered,
        names=tuple(texts.name(trace.names[code]) for code in used_names),
        devices=tuple(_cleaned_device(device, texts) for device in trace.devices),
        streams=tuple(texts.text(stream) for stream in trace.streams),
        threads=tuple(replace(thread, label=texts.text(thread.label)) for thread in trace.threads),
        meta=Metadata.from_json(cleaned(trace.meta.to_json(), texts, result)),
    )
    files.write(cleaned_trace, target)
    if progress is not None:
        progress(sum(len(table) for table in tables.values()))


def _named_processes(trace: Trace) -> set[str]:
    """Return the names of processes that are more than a number."""
    names = {device.process_name for device in trace.devices}
    return {name for name in names if name and not name.isdecimal()}


def _cleaned_device(device: Device, texts: Texts) -> Device:
    process_name = device.process_name
    if not process_name.isdecimal():
        process_name = f"process {device.process}"
    return replace(
        device,
        name=texts.text(device.name),
        process_name=process_name,
        identity=texts.identity(device.identity),
    )
