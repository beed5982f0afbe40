"""The host ranges of an export: NVTX ranges, PyTorch's operators among them, profiler overhead."""

from __future__ import annotations

import re
from typing import NamedTuple

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

# PyTorch's emit_nvtx writes `aten::view, seq = 3, op_id = 314290, sizes = [[2, 3]]`, each part
# after the name only where it is known (torch/csrc/profiler/util.cpp, getNvtxStr): the ids would
# make every name a name of its own.
OPERATOR = re.compile(r", (?:seq|op_id) = -?\d+(?:,|$)")

OUR_DOMAIN = "idlescope"  # its payloads are step numbers
PAYLOADS = ("int64Value", "uint64Value", "int32Value", "uint32Value")


class RangeText(NamedTuple):
    """The text of a range without an operator's ids."""

    text: str
    is_operator: bool


def read(export: Export, frames: bool) -> Ranges:
    """Return all ranges; without `frames`, those that are not operators."""
    parts = [_nvtx(export, frames), *(_overhead(export, table) for table in OVERHEAD)]
    return Ranges.joined(parts)


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
    rows["domain"], domains = _domains(rows, texts)
    is_range = np.isin(rows["eventType"], RANGE_TYPES)
    _close(export, rows, is_range)
    used = export.usable(rows, is_range, NVTX, "ranges", wanted)
    is_operator = np.array([text.is_operator for text in texts], np.bool_)[rows["text"]]
    if not frames:
        used = used[~is_operator[used]]
    rows = {column: values[used] for column, values in rows.items()}

    def range_name(domain: int, text: int) -> str:
        return f"{domains[domain]}:{texts[text].text}" if domains[domain] else texts[text].text

    is_ours = np.array([domain == OUR_DOMAIN for domain in domains])[rows["domain"]]
    return Ranges(
        start=rows["start"],
        end=rows["end"],
        thread=export.threaded(rows["globalTid"]),
        name=export.labelled(range_name, rows["domain"], rows["text"]),
        kind=np.where(is_operator[used], RangeKind.OPERATOR, RangeKind.ANNOTATION),
        step=_steps(export, used, is_ours),
    )


def _texts(export: Export, text_ids: Int64) -> tuple[Int64, list[RangeText]]:
    """Return each row's text as an index, and the texts.

    These are those written out in the rows, those of StringIds, and one for rows without.
    """
    code, written = export.tables.texts(NVTX, "text", _range_text)
    found, index = distinct(text_ids)
    registered = export.tables.strings(found.tolist())
    texts = list(written)
    for string_id in found.tolist():
        texts.append(_range_text(registered.get(string_id, "unnamed range")))
    return np.where(code >= 0, code, len(written) + index), texts


def _range_text(text: str) -> RangeText:
    ids = OPERATOR.search(text)
    return RangeText(text[: ids.start()], True) if ids else RangeText(text, False)


def _domains(rows: dict[str, Int64], texts: list[RangeText]) -> tuple[Int64, list[str]]:
    """Return each row's domain as an index, and the domains' names.

    The default domain and those without a name are called "". Domain ids are a process's own.
    """
    index, names = np.zeros(len(rows["start"]), np.int64), [""]
    process, domain_id = rows["globalTid"] & PROCESS_BITS, rows["domainId"]
    created = np.flatnonzero(rows["eventType"] == DOMAIN_CREATE)
    for row in created.tolist():
        if domain_id[row] != DEFAULT_DOMAIN:
            is_in_domain = (process == process[row]) & (domain_id == domain_id[row])
            index[is_in_domain] = len(names)
            names.append(texts[rows["text"][row]].text)
    return index, names


def _close(export: Export, rows: dict[str, Int64], is_range: Bool) -> None:
    """End ranges that were still open when the recording ended at the last time of any row."""
    start, end = rows["start"], rows["end"]
    still_open = is_range & (start != NULL) & (end == NULL)
    export.repair("ranges that were never closed end with the recording", still_open, NVTX)
    last = max(export.last, int(start.max(initial=NULL)), int(end.max(initial=NULL)))
    rows["end"] = np.where(still_open, last, end)


def _steps(export: Export, rows: NDArray[np.intp], is_ours: Bool) -> Int32:
    """Return the step that each of our own engine's ranges states in its payload, else -1."""
    step = np.full(len(rows), -1, np.int64)
    if is_ours.any():
        for payload in export.integers(NVTX, dict.fromkeys(PAYLOADS, NULL)).values():
            values = payload[rows]
            is_step = (values >= 0) & (values < 2**31)
            step = np.where(is_ours & (step < 0) & is_step, values, step)
    return step.astype(np.int32)


def _overhead(export: Export, table: str) -> Ranges:
    wanted = {"globalTid": NULL, "nameId": NO_STRING}
    all_rows, usable = export.timed(table, wanted, "ranges")
    rows = {column: values[usable] for column, values in all_rows.items()}
    count = len(usable)
    return Ranges(
        start=rows["start"],
        end=rows["end"],
        thread=export.threaded(rows["globalTid"]),
        name=export.named(rows["nameId"], otherwise="profiler overhead"),
        kind=np.full(count, RangeKind.OVERHEAD),
        step=np.full(count, -1),
    )
