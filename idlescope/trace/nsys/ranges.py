"""The host ranges of a Nsight Systems export: NVTX ranges, PyTorch's operators among them, and profiler overhead."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.model import RangeKind, Ranges
from idlescope.trace.nsys.columns import NO_STRING, PROCESS_BITS, Export, distinct
from idlescope.trace.nsys.tables import NULL
from idlescope.trace.table import Bool, Int32, Int64

NVTX = "NVTX_EVENTS"
OVERHEAD = ("CUPTI_ACTIVITY_KIND_OVERHEAD", "PROFILER_OVERHEAD")

# ENUM_NSYS_EVENT_TYPE
RANGE_TYPES = (59, 60)  # NvtxPushPopRange, NvtxStartEndRange
DOMAIN_CREATE = 75
DEFAULT_DOMAIN = 0

# PyTorch's emit_nvtx writes `aten::view, seq = 3, op_id = 314290, sizes = [[2, 3]]`, each part after the name only
# where it is known (torch/csrc/profiler/util.cpp, getNvtxStr): the ids would make every name a name of its own.
OPERATOR = re.compile(r", (?:seq|op_id) = -?\d+(?:,|$)")

OUR_DOMAIN = "idlescope"  # its payloads are step numbers
PAYLOADS = ("int64Value", "uint64Value", "int32Value", "uint32Value")


def read(export: Export, frames: bool) -> Ranges:
    """Return all ranges; without `frames`, those that are not operators."""
    parts = [_nvtx(export, frames), *(_overhead(export, table) for table in OVERHEAD)]
    return Ranges.joined(parts)


def _operator(text: str) -> tuple[str, bool]:
    """Return the text of a range without an operator's ids, and whether it is an operator's."""
    ids = OPERATOR.search(text)
    return (text[: ids.start()], True) if ids else (text, False)


def _nvtx(export: Export, frames: bool) -> Ranges:
    wanted = {
        "start": NULL,
        "end": NULL,
        "eventType": -1,
        "globalTid": NULL,
        "textId": NO_STRING,
        "domainId": 0,
    }
    rows = export.integers(NVTX, wanted)
    rows["text"], texts = _texts(export, rows["textId"])
    rows["domain"], domains = _domains(rows, [text for text, _ in texts])
    is_operator = np.array([operator for _, operator in texts], np.bool_)[rows["text"]]
    is_range = np.isin(rows["eventType"], RANGE_TYPES)
    _close(export, rows, is_range)
    row = export.usable(rows, is_range, NVTX, "ranges", wanted)
    if not frames:
        row = row[~is_operator[row]]
    rows = {column: values[row] for column, values in rows.items()}
    prefixes = [f"{domain}:" if domain else "" for domain in domains]
    return Ranges(
        start=rows["start"],
        end=rows["end"],
        thread=export.threaded(rows["globalTid"]),
        name=export.labelled(
            lambda domain, text: prefixes[domain] + texts[text][0], rows["domain"], rows["text"]
        ),
        kind=np.where(is_operator[row], RangeKind.OPERATOR, RangeKind.ANNOTATION),
        step=_steps(
            export, row, np.array([domain == OUR_DOMAIN for domain in domains])[rows["domain"]]
        ),
    )


def _texts(export: Export, text_ids: Int64) -> tuple[Int64, list[tuple[str, bool]]]:
    """Return each row's text as an index, and the texts: those written out, those of StringIds, and one for none."""
    code, written = export.tables.texts(NVTX, "text", _operator)
    found, index = distinct(text_ids)
    registered = export.tables.strings(found.tolist())
    texts = [*written, *(_operator(registered.get(i, "unnamed range")) for i in found.tolist())]
    return np.where(code >= 0, code, len(written) + index), texts


def _domains(rows: dict[str, Int64], texts: list[str]) -> tuple[Int64, list[str]]:
    """Return each row's domain as an index, and the domains' names: "" for the default one and those without a name.

    Domain ids are a process's own.
    """
    created = np.flatnonzero(rows["eventType"] == DOMAIN_CREATE)
    index, names = np.zeros(len(rows["start"]), np.int64), [""]
    process = rows["globalTid"] & PROCESS_BITS
    for row in created.tolist():
        if rows["domainId"][row] != DEFAULT_DOMAIN:
            index[(process == process[row]) & (rows["domainId"] == rows["domainId"][row])] = len(
                names
            )
            names.append(texts[rows["text"][row]])
    return index, names


def _close(export: Export, rows: dict[str, Int64], is_range: Bool) -> None:
    """End the ranges that were still open when the recording ended at the last time that any row has."""
    start, end = rows["start"], rows["end"]
    still_open = is_range & (start != NULL) & (end == NULL)
    export.repair("ranges that were never closed end with the recording", still_open, NVTX)
    last = max(export.last, int(start.max(initial=NULL)), int(end.max(initial=NULL)))
    rows["end"] = np.where(still_open, last, end)


def _steps(export: Export, rows: NDArray[np.intp], ours: Bool) -> Int32:
    step = np.full(len(rows), -1, np.int64)
    if ours.any():
        for payload in export.integers(NVTX, dict.fromkeys(PAYLOADS, NULL)).values():
            values = payload[rows]
            step = np.where(ours & (step < 0) & (values >= 0) & (values < 2**31), values, step)
    return step.astype(np.int32)


def _overhead(export: Export, table: str) -> Ranges:
    wanted = {"globalTid": NULL, "nameId": NO_STRING}
    rows, usable = export.timed(table, wanted, "ranges")
    rows = {column: values[usable] for column, values in rows.items()}
    size = len(rows["start"])
    return Ranges(
        start=rows["start"],
        end=rows["end"],
        thread=export.threaded(rows["globalTid"]),
        name=export.named(rows["nameId"], otherwise="profiler overhead"),
        kind=np.full(size, RangeKind.OVERHEAD),
        step=np.full(size, -1),
    )
