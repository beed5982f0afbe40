"""Scrub a recording: the folder that `idlescope run` and `idlescope convert` write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from idlescope.trace.model import Trace
from idlescope.trace.recording import files
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import cleaned
from idlescope.trace.scrub.texts import Texts


def scrub(
    source: Path, target: Path, result: Scrubbed, progress: Callable[[int], None] | None = None
) -> None:
    """Write the recording anew: its tables as they are, its texts cleaned, names that no row has left out."""
    trace, texts = files.read(source), Texts(result)
    tables = {table: getattr(trace, table) for table in files.TABLES}
    used = np.unique(np.concatenate([table.name for table in tables.values()])).tolist()
    code = np.full(len(trace.names), -1, np.int32)
    code[used] = np.arange(len(used))
    result.remove("names that no record has", len(trace.names) - len(used))
    result.names += len(used) + len(trace.threads)
    numbered = {name for name in (d.process_name for d in trace.devices) if not name.isdecimal()}
    result.remove("names of processes", len(numbered - {""}))
    files.write(
        Trace(
            **{name: table.replace(name=code[table.name]) for name, table in tables.items()},
            names=tuple(texts.name(trace.names[i]) for i in used),
            devices=tuple(
                replace(
                    d,
                    name=texts.text(d.name),
                    process_name=d.process_name
                    if d.process_name.isdecimal()
                    else f"process {d.process}",
                    identity=texts.identity(d.identity),
                )
                for d in trace.devices
            ),
            streams=tuple(texts.text(s) for s in trace.streams),
            threads=tuple(replace(t, label=texts.text(t.label)) for t in trace.threads),
            meta=cleaned(trace.meta, texts, result),
        ),
        target,
    )
    if progress is not None:
        progress(sum(len(table) for table in tables.values()))
