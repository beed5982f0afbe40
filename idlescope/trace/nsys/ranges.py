"""The host ranges of an export: NVTX ranges, PyTorch's operators among them, profiler overhead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.distinct import indexed
from idlescope.trace.model import RangeKind, Ranges
from idlescope.trace.names.operators import RangeText, range_text
from idlescope.trace.nsys.columns import NO_STRING, PROCESS_BITS, Export
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.table import Bool, Int32, Int64

NVTX = "NVTX_EVENTS"
OVERHEAD = ("CUPTI_ACTIVITY_KIND_OVERHEAD", "PROFILER_OVERHEAD")

# ENUM_NSYS_EVENT_TYPE
RANGE_TYPES = (59, 60)  # NvtxPushPopRange, NvtxStartEndRange
DOMAIN_CREATE = 75
DEFAULT_DOMAIN = 0

OUR_DOMAIN = "idlescope"  # its payloads are step numbers
PAYLOADS = ("int64Value", "uint64Value", "int32Value", "uint32Value")


def read(export: Export, frames: bool) -> Ranges:
    """Return all ranges; without `frames`, those that are not operators."""
    range_parts = [
        _nvtx(export, frames),
        *(_overhead(export, table_name) for table_name in OVERHEAD),
    ]
    return Ranges.joined(range_parts)


def _nvtx(export: Export, frames: bool) -> Ranges:
    wanted = {
        "start": NULL,
        "end": NULL,
        "eventType": -1,
        "globalTid": NULL,
        "textId": NO_STRING,
        "domainId": 0,
    }
    range_rows = export.integers(NVTX, wanted)
    range_rows["text"], range_texts = _texts(export, range_rows["textId"])
    range_rows["domain"], domains = _domains(range_rows, range_texts)
    is_range = np.isin(range_rows["eventType"], RANGE_TYPES)
    _close(export, range_rows, is_range)
    usable_rows = export.usable(range_rows, is_range, NVTX, "ranges", wanted)
    is_operator = np.array([text.is_operator for text in range_texts], np.bool_)[
        range_rows["text"]
    ]
    if not frames:
        usable_rows = usable_rows[~is_operator[usable_rows]]
    range_rows = {column: values[usable_rows] for column, values in range_rows.items()}

    def range_name(domain: int, text: int) -> str:
        return (
            f"{domains[domain]}:{range_texts[text].text}"
            if domains[domain]
            else range_texts[text].text
        )

    is_ours = np.array([domain == OUR_DOMAIN for domain in domains])[range_rows["domain"]]
    return Ranges(
        start=range_rows["start"],
        end=range_rows["end"],
        thread=export.threaded(range_rows["globalTid"]),
        name=export.labelled(range_name, range_rows["domain"], range_rows["text"]),
        kind=np.where(is_operator[usable_rows], RangeKind.OPERATOR, RangeKind.ANNOTATION),
        step=_steps(export, usable_rows, is_ours),
    )


def _texts(export: Export, text_ids: Int64) -> tuple[Int64, list[RangeText]]:
    """Return each row's text as an index, and the texts.

    These are those written out in the rows, those of StringIds, and one for rows without.
    """
    text_codes, written = export.tables.texts(NVTX, "text", range_text)
    distinct_ids, id_index = indexed(text_ids)
    registered = export.tables.strings(distinct_ids.tolist())
    range_texts = list(written)
    for string_id in distinct_ids.tolist():
        range_texts.append(range_text(registered.get(string_id, "unnamed range")))
    return np.where(text_codes >= 0, text_codes, len(written) + id_index), range_texts


def _domains(rows: dict[str, Int64], texts: list[RangeText]) -> tuple[Int64, list[str]]:
    """Return each row's domain as an index, and the domains' names.

    The default domain and those without a name are called "". Domain ids are a process's own.
    """
    process, domain_id = rows["globalTid"] & PROCESS_BITS, rows["domainId"]
    created = np.flatnonzero(
        (rows["eventType"] == DOMAIN_CREATE) & (domain_id != DEFAULT_DOMAIN)
    )
    domain_names = [""]
    index_of_domain: dict[tuple[int, int], int] = {}
    for domain_row in created.tolist():
        # of a domain that is created again the last name counts
        key = int(process[domain_row]), int(domain_id[domain_row])
        index_of_domain[key] = len(domain_names)
        domain_names.append(texts[rows["text"][domain_row]].text)
    if not index_of_domain:
        return np.zeros(len(process), np.int64), domain_names

    # each row's pair of process and domain, as one number
    processes, process_index = indexed(process)
    domain_ids, id_index = indexed(domain_id)
    pairs, pair_index = indexed(process_index * len(domain_ids) + id_index)
    index_of_pair = np.zeros(len(pairs), np.int64)
    for pair_row, pair in enumerate(pairs.tolist()):
        process_row, id_row = divmod(pair, len(domain_ids))
        key = int(processes[process_row]), int(domain_ids[id_row])
        index_of_pair[pair_row] = index_of_domain.get(key, 0)
    return index_of_pair[pair_index], domain_names


def _close(export: Export, rows: dict[str, Int64], is_range: Bool) -> None:
    """End ranges that were still open when the recording ended at the last time of any row."""
    start_column, end_column = rows["start"], rows["end"]
    still_open = is_range & (start_column != NULL) & (end_column == NULL)
    export.repair("ranges that were never closed end with the recording", still_open, NVTX)
    last_time = max(
        export.last, int(start_column.max(initial=NULL)), int(end_column.max(initial=NULL))
    )
    rows["end"] = np.where(still_open, last_time, end_column)


def _steps(export: Export, rows: NDArray[np.intp], is_ours: Bool) -> Int32:
    """Return the step that each of our own engine's ranges states in its payload, else -1."""
    step_numbers = np.full(len(rows), -1, np.int64)
    if is_ours.any():
        for payload in export.integers(NVTX, dict.fromkeys(PAYLOADS, NULL)).values():
            values = payload[rows]
            is_step = (values >= 0) & (values < 2**31)
            step_numbers = np.where(
                is_ours & (step_numbers < 0) & is_step, values, step_numbers
            )
    return step_numbers.astype(np.int32)


def _overhead(export: Export, table: str) -> Ranges:
    wanted = {"globalTid": NULL, "nameId": NO_STRING}
    all_rows, usable = export.timed(table, wanted, "ranges")
    usable_rows = {column: values[usable] for column, values in all_rows.items()}
    row_count = len(usable)
    return Ranges(
        start=usable_rows["start"],
        end=usable_rows["end"],
        thread=export.threaded(usable_rows["globalTid"]),
        name=export.named(usable_rows["nameId"], otherwise="profiler overhead"),
        kind=np.full(row_count, RangeKind.OVERHEAD),
        step=np.full(row_count, -1),
    )
