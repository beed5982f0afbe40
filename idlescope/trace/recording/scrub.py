"""Scrub a recording: the folder that `idlescope run` and `idlescope convert` write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from idlescope.trace.distinct import distinct
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Device, Trace
from idlescope.trace.recording import files
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import cleaned
from idlescope.trace.scrub.texts import Texts
from idlescope.trace.table import Int64


def scrub(
    source: Path,
    target: Path,
    result: Scrubbed,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the recording anew: tables as they are, texts cleaned, names that no row has left out.

    Raises TraceError where the source is no whole recording.
    """
    trace = files.read(source)
    used_names = _used_names(trace)
    result.remove("names that no record has", len(trace.names) - used_names.size)
    result.names += used_names.size + len(trace.threads)
    result.remove("names of processes", len(_named_processes(trace)))
    texts = Texts(result)
    cleaned_trace = Trace(
        **_renumbered(trace, used_names),
        names=tuple(texts.name(trace.names[code]) for code in used_names),
        devices=tuple(_cleaned_device(device, texts) for device in trace.devices),
        streams=tuple(texts.text(stream) for stream in trace.streams),
        threads=tuple(
            replace(thread, label=texts.thread(texts.text(thread.label)))
            for thread in trace.threads
        ),
        meta=Metadata.from_json(cleaned(trace.meta.to_json(), texts, result)),
    )
    files.write(cleaned_trace, target)
    if progress is not None:
        progress(sum(len(table) for table in _tables(trace).values()))


def _tables(trace: Trace) -> dict[str, Any]:
    return {name: getattr(trace, name) for name in files.TABLES}


def _used_names(trace: Trace) -> Int64:
    """Return the codes of the names that some row has, sorted."""
    name_columns = [table.name for table in _tables(trace).values()]
    return distinct(np.concatenate(name_columns))


def _renumbered(trace: Trace, used_names: Int64) -> dict[str, Any]:
    """Return the tables with codes of names that are positions in `used_names`."""
    new_code = np.full(len(trace.names), -1, np.int32)
    new_code[used_names] = np.arange(used_names.size)
    return {
        name: table.replace(name=new_code[table.name])
        for name, table in _tables(trace).items()
    }


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
