"""Which GPU each device number of a process stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from idlescope.trace.nsys.columns import pid_of
from idlescope.trace.nsys.tables import Tables


class Gpu(NamedTuple):
    """What an export says of a GPU, empty where it says nothing."""

    name: str = ""
    identity: str = ""  # UUID, else PCI bus


def gpus(tables: Tables, devices: Sequence[tuple[int, int]]) -> list[Gpu]:
    """Return the GPU of each (globalPid, device number).

    Device numbers are a process's own: TARGET_INFO_CUDA_DEVICE tells which GPU each stands for, and
    where that table is missing TARGET_INFO_GPU has a number for each GPU, right for processes that
    see all of them.
    """
    known_gpus = tables.rows(
        "TARGET_INFO_GPU", ["id", "cuDevice", "name", "uuid", "busLocation"]
    )
    by_id = {
        gpu_id: _gpu(gpu_name, gpu_uuid, bus_location)
        for gpu_id, _, gpu_name, gpu_uuid, bus_location in known_gpus
    }
    by_number: dict[Any, Gpu] = {}
    mapped: dict[tuple[Any, Any], tuple[Any, Any]] = {}
    for pid, number, gpu_id, gpu_uuid in tables.rows(
        "TARGET_INFO_CUDA_DEVICE", ["pid", "cudaId", "gpuId", "uuid"]
    ):
        mapped[pid, number] = gpu_id, gpu_uuid
    if not mapped:
        for gpu_id, number, gpu_name, gpu_uuid, bus_location in known_gpus:
            by_number[gpu_id if number is None else number] = _gpu(
                gpu_name, gpu_uuid, bus_location
            )

    gpus_found = []
    for global_pid, number in devices:
        # a row without a pid is of all processes
        gpu_id, gpu_uuid = mapped.get((pid_of(global_pid), number)) or mapped.get(
            (None, number), (None, None)
        )
        gpu = by_number.get(number) if gpu_id is None else by_id.get(gpu_id)
        gpu = gpu or Gpu()
        gpus_found.append(gpu._replace(identity=str(gpu_uuid)) if gpu_uuid else gpu)
    return gpus_found


def _gpu(name: Any, uuid: Any, bus: Any) -> Gpu:
    return Gpu(str(name or ""), str(uuid or bus or ""))
