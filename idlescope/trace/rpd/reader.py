"""Read an RPD trace (rocmProfileData, SQLite) into a Trace.

Its tables are described in docs/perf_playbooks/rpd-tables.md of ROCm/rocmProfileData: `rocpd_op`
has what ran on GPUs, `rocpd_api` the calls and markers of the host, `rocpd_api_ops` which call put
which operation on a GPU, `rocpd_string` all texts. Times are nanoseconds of the host's monotonic
clock. An operation does not say of which process it is: that of the call that launched it, else the
one that launched most on its GPU.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.trace.distinct import combined, rows_of
from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges, Trace
from idlescope.trace.names import rocm
from idlescope.trace.names.operators import range_text
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.sqlite.strings import TextColumn, texts_of_ids
from idlescope.trace.sqlite.tables import SqliteTables, open_sqlite
from idlescope.trace.table import Bool, Int32, Int64

RECORD_AGAIN = "record again with `runTracer.sh -o trace.rpd COMMAND`"
STRINGS = "rocpd_string"

# rocpd_op.opType, as the HIP runtime calls its activities; `Task` is a kernel of a graph.
COPY = re.compile(r"copy", re.IGNORECASE)
FILL = re.compile(r"fill|memset", re.IGNORECASE)
# Packets that order others: nothing runs in them.
BARRIER = re.compile(r"barrier|marker", re.IGNORECASE)

# rocpd_api.apiName of what is not a call: a roctx or Python marker, whose text is in its arguments,
# and the tracer's own work (rpd_tracer: `createOverheadRecord`).
MARKER = "UserMarker"
OVERHEAD = re.compile(
    r"::writeRows$|^rpdflush$|^hcc_activity_callback$|_activity_callback$"
)

NO_PROCESS = "unknown process"


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of an RPD file; nothing is written to it or beside it.

    `progress` is called with the number of rows read so far. Without `frames`, operators are left
    out.

    Raises TraceError for a file that is damaged, or holds neither operations nor calls.
    """
    gathered = Gathered(progress)
    with open_sqlite(path, RECORD_AGAIN, gathered.damage) as tables:
        host = _host(tables, gathered)
        _add_calls(gathered, host)
        _add_ranges(gathered, host, frames)
        _add_operations(tables, gathered, host)
    if not gathered.events:
        raise TraceError(f"{path} holds no operations and no calls: {RECORD_AGAIN}")
    return gathered.trace("rpd", path)


class _Host(NamedTuple):
    """The rows of rocpd_api."""

    rows: dict[str, Int64]
    name: TextColumn  # of a call, or of a marker
    is_call: Bool


def _host(tables: SqliteTables, gathered: Gathered) -> _Host:
    wanted = {"id": NULL, "pid": 0, "tid": 0, "start": NULL, "end": NULL}
    wanted |= {"apiName_id": NULL, "args_id": NULL}
    rows = tables.integers("rocpd_api", wanted, gathered.damage)
    name = texts_of_ids(tables, rows["apiName_id"], STRINGS)
    is_marker = _rows_with(name, [text == MARKER for text in name.texts])
    is_call = _rows_with(
        name, [rocm.API_CALL.match(text) is not None for text in name.texts]
    )

    # the text of a marker stands among the arguments
    arguments = texts_of_ids(tables, rows["args_id"], STRINGS)
    texts = np.where(is_marker, arguments.of_rows(), name.of_rows())
    distinct_texts, text_of_row = np.unique(texts.astype(str), return_inverse=True)
    said = TextColumn(distinct_texts.tolist(), text_of_row)
    return _Host(rows, said, is_call & ~is_marker)


def _rows_with(column: TextColumn, has_property: list[bool]) -> Bool:
    """Return which rows have a text with a property; rows without a text have not."""
    return np.array([*has_property, False], np.bool_)[column.text_of_row]


def _threads(gathered: Gathered, host: _Host, chosen: Int64) -> Int32:
    pairs, index = combined(host.rows["pid"][chosen], host.rows["tid"][chosen])
    labels = [(str(pid), f"{pid}:{tid}") for pid, tid in pairs]
    return gathered.threads.codes(labels)[index]


def _add_calls(gathered: Gathered, host: _Host) -> None:
    chosen = np.flatnonzero(host.is_call)
    table = Calls(
        start=host.rows["start"][chosen],
        end=host.rows["end"][chosen],
        thread=_threads(gathered, host, chosen),
        name=host.name.codes(gathered.names)[chosen],
        correlation=host.rows["id"][chosen],
    )
    gathered.add(table, "rocpd_api call")


def _add_ranges(gathered: Gathered, host: _Host, frames: bool) -> None:
    texts = [range_text(text) for text in host.name.texts]
    kind_of_text = [_range_kind(*text) for text in texts]
    kinds = np.array([*kind_of_text, RangeKind.ANNOTATION], np.uint8)[host.name.text_of_row]
    is_wanted = ~host.is_call
    if not frames:
        is_wanted &= kinds != RangeKind.OPERATOR
    chosen = np.flatnonzero(is_wanted)
    names = gathered.names.codes([text.text for text in texts])[host.name.text_of_row]
    table = Ranges(
        start=host.rows["start"][chosen],
        end=host.rows["end"][chosen],
        thread=_threads(gathered, host, chosen),
        name=names[chosen],
        kind=kinds[chosen],
        step=np.full(chosen.size, -1, np.int32),
    )
    gathered.add(table, "rocpd_api marker")


def _range_kind(text: str, is_operator: bool) -> RangeKind:
    if OVERHEAD.search(text):
        return RangeKind.OVERHEAD
    return RangeKind.OPERATOR if is_operator else RangeKind.ANNOTATION


def _add_operations(tables: SqliteTables, gathered: Gathered, host: _Host) -> None:
    wanted = {"id": NULL, "gpuId": NULL, "queueId": 0, "start": NULL, "end": NULL}
    wanted |= {"description_id": NULL, "opType_id": NULL}
    rows = tables.integers("rocpd_op", wanted, gathered.damage)
    operation_types = texts_of_ids(tables, rows["opType_id"], STRINGS)
    ran = np.array([not BARRIER.search(text) for text in (*operation_types.texts, "")])
    chosen = np.flatnonzero(ran[operation_types.text_of_row])
    rows = {column: values[chosen] for column, values in rows.items()}
    launch_ids = _launch_ids(tables, gathered, rows["id"])
    types = operation_types.of_rows()[chosen]
    kinds, names = _kinds_and_names(tables, rows, types)
    table = Operations(
        start=rows["start"],
        end=rows["end"],
        kind=kinds,
        device=_devices(gathered, host, rows["gpuId"], launch_ids),
        stream=_streams(gathered, rows["queueId"]),
        name=gathered.names.codes(names),
        correlation=launch_ids,
        step=np.full(chosen.size, -1, np.int32),
        bytes=_bytes(tables, gathered, launch_ids, kinds),
        flops=np.zeros(chosen.size),
    )
    gathered.add(table, "rocpd_op row")


def _launch_ids(tables: SqliteTables, gathered: Gathered, operations: Int64) -> Int64:
    """Return the id of the call that launched each operation; 0 where none is known."""
    wanted = {"api_id": 0, "op_id": NULL}
    links = tables.integers("rocpd_api_ops", wanted, gathered.damage)
    link_rows = rows_of(links["op_id"], operations)
    api_ids = np.append(links["api_id"], 0)  # for those without a link, whose row is -1
    return api_ids[link_rows]


def _kinds_and_names(
    tables: SqliteTables, rows: dict[str, Int64], types: NDArray[np.object_]
) -> tuple[NDArray[np.uint8], list[str]]:
    descriptions = texts_of_ids(tables, rows["description_id"], STRINGS).of_rows()
    kind_and_name: dict[tuple[str, str], tuple[OperationKind, str]] = {}
    pairs = list(zip(types.tolist(), descriptions.tolist(), strict=True))
    for pair in dict.fromkeys(pairs):
        kind_and_name[pair] = _kind_and_name(*pair)
    kinds = np.array([kind_and_name[pair][0] for pair in pairs], np.uint8)
    return kinds, [kind_and_name[pair][1] for pair in pairs]


def _kind_and_name(operation_type: str, description: str) -> tuple[OperationKind, str]:
    if COPY.search(operation_type):
        return OperationKind.MEMCPY, rocm.copy_name(operation_type)
    if FILL.search(operation_type):
        return OperationKind.MEMSET, "Memset"
    name = rocm.kernel_name(description) or operation_type or "kernel"
    return rocm.kernel_kind(name), name


def _devices(gathered: Gathered, host: _Host, gpu_ids: Int64, launch_ids: Int64) -> Int32:
    """Return each operation's device: a GPU as the process saw it that launched the work."""
    pid_of_call = np.append(host.rows["pid"], NULL)  # NULL for no call, whose row is -1
    pids = pid_of_call[rows_of(host.rows["id"], launch_ids)]
    pairs, pair_of_row = combined(gpu_ids, pids)
    launchers = _launchers(pairs, np.bincount(pair_of_row).tolist())
    keys = []
    for gpu_id, pid in pairs:
        known_pid = launchers.get(gpu_id, _first_pid(host)) if pid == NULL else pid
        process = NO_PROCESS if known_pid == NULL else str(known_pid)
        keys.append((process, 0 if gpu_id == NULL else gpu_id))
    return gathered.devices.codes(keys)[pair_of_row]


def _launchers(
    pairs: Sequence[tuple[int, ...]], operations: Sequence[int]
) -> dict[int, int]:
    """Return the process that launched most operations of each GPU, given those of each pair."""
    launchers: dict[int, int] = {}
    counts = dict(zip(pairs, operations, strict=True))
    for (gpu_id, pid), _ in Counter(counts).most_common():
        if pid != NULL:
            launchers.setdefault(gpu_id, pid)
    return launchers


def _first_pid(host: _Host) -> int:
    pids = host.rows["pid"]
    return int(pids[0]) if pids.size else NULL


def _streams(gathered: Gathered, queues: Int64) -> Int32:
    pairs, index = combined(queues)
    return gathered.streams.codes(f"queue {queue}" for (queue,) in pairs)[index]


def _bytes(
    tables: SqliteTables, gathered: Gathered, launch_ids: Int64, kinds: NDArray[np.uint8]
) -> Int64:
    """Return the bytes of each copy, as its call stated them; 0 of what is no copy."""
    wanted = {"api_ptr_id": NULL, "size": 0}
    copies = tables.integers("rocpd_copyapi", wanted, gathered.damage)
    copy_rows = rows_of(copies["api_ptr_id"], launch_ids)
    sizes = np.append(copies["size"], 0)[copy_rows]
    return np.where(kinds == OperationKind.MEMCPY, np.maximum(sizes, 0), 0)
