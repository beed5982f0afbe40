"""A small export, and how tests read one."""

from __future__ import annotations

from idlescope.trace.model import Trace
from idlescope.trace.nsys import reader
from tests.make.nsys_files import Export


def small(old: bool = False) -> Export:
    """Two processes with the same correlation ids; a row of each kind that nsys writes."""
    export = Export(old)
    for pid, late in ((100, 0), (200, 500)):
        export.domain(1, "NCCL" if pid == 100 else "idlescope", pid)
        export.domain(2, "idlescope" if pid == 100 else "CCCL", pid)
        export.call(1_000 + late, 1_100 + late, 1, pid=pid)
        export.kernel(2_000, 3_000, 1, pid=pid)  # the first
        export.call(3_400 + late, 3_450 + late, 2, "cudaMemcpyAsync_v3020", pid=pid)
        export.copy(
            4_000, 5_000, 2, pid=pid, stream=9
        )  # a gap of 1,000: host 400 + late, launch the rest
        export.call(4_500, 4_600, 3, "cudaGraphLaunch_v10000", pid=pid)
        export.kernel(
            5_200, 6_000, 3, pid=pid, graphNodeId=77
        )  # a gap of 200, launched before it: queued
        export.kernel(5_900, 7_000, 3, pid=pid, graphNodeId=78)
        export.memset(7_700, 7_800, pid=pid)  # a gap of 700 that nothing is known of
        export.range(900, 3_500, "forward", pid=pid)
        export.range(
            950,
            1_500,
            "schedule",
            registered=True,
            domain=2 if pid == 100 else 1,
            pid=pid,
            int64Value=7,
        )
        export.range(
            1_000,
            1_400,
            "aten::mm, seq = 4, op_id = 314290, sizes = [[2, 3], [3, 2]]",
            pid=pid,
        )
    return export


def traces(export: Export, folder) -> tuple[Trace, Trace]:
    return reader.read(export.sqlite(folder / "e.sqlite")), reader.read(
        export.parquet(folder / "e_pqtdir")
    )


def read(export: Export, folder, **options) -> Trace:
    return reader.read(export.sqlite(folder / "e.sqlite"), **options)


def names(trace: Trace, table: str) -> list[str]:
    return [trace.names[i] for i in getattr(trace, table).name]


def tables(trace: Trace):
    return trace.operations, trace.calls, trace.ranges
