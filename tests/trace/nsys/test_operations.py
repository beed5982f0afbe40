"""The device operations of an export, their names, and the GPUs that they ran on."""

from __future__ import annotations

import pytest

from idlescope.analysis.analyze import analyze
from idlescope.trace.model import OperationKind
from tests.make.nsys_files import KERNELS, Export, process
from tests.trace.nsys.small_export import names, read, small


def test_a_device_is_one_gpu_as_one_process_saw_it(tmp_path):
    trace = read(small(), tmp_path)
    assert [(d.process_name, d.index) for d in trace.devices] == [("100", 0), ("200", 0)]
    assert trace.meta.extra["global_pids"] == {"100": process(100), "200": process(200)}
    assert {t.process for t in trace.threads} == {d.process for d in trace.devices}


def test_processes_of_two_machines_with_one_pid_keep_apart(tmp_path):
    export = Export()
    export.kernel(1, 2)
    export.kernel(1, 2, globalPid=process(100, machine=2))
    assert [d.process_name for d in read(export, tmp_path).devices] == ["100@1", "100@2"]


def test_a_gpu_is_told_by_the_ordinal_of_its_process(tmp_path):
    export = Export()
    for pid, gpu in ((100, 5), (200, 6)):
        export.kernel(1, 2, pid=pid)
        export.add(
            "TARGET_INFO_GPU",
            id=gpu,
            name=f"H{gpu}",
            busLocation=f"0000:0{gpu}:00.0",
            uuid=f"GPU-{gpu}",
        )
        export.add("TARGET_INFO_CUDA_DEVICE", gpuId=gpu, cudaId=0, pid=pid)
    export.kernel(1, 2, pid=300, device=5)  # not in the map: no guess
    told = [(d.name, d.identity) for d in read(export, tmp_path).devices]
    assert told == [("H5", "GPU-5"), ("H6", "GPU-6"), ("", "")]


def test_a_gpu_without_a_map_of_ordinals_is_told_by_its_cuda_number(tmp_path):
    export = Export()
    export.kernel(1, 2, device=1)
    export.kernel(1, 2, device=4)
    export.add("TARGET_INFO_GPU", id=0, cuDevice=1, name="H1", busLocation="0000:01:00.0")
    assert [(d.name, d.identity) for d in read(export, tmp_path).devices] == [
        ("H1", "0000:01:00.0"),
        ("", ""),
    ]


def test_a_graph_launch_is_one_compute_operation_where_graphs_are_traced_whole(tmp_path):
    export = Export()
    export.call(0, 10, 5, "cudaGraphLaunch_v10000")
    export.graph(100, 400, 5)
    trace = read(export, tmp_path)
    assert (trace.operations.kind.tolist(), names(trace, "operations")) == (
        [OperationKind.GRAPH],
        ["graph 3"],
    )
    assert trace.meta.extra["graph_level"] is True
    (device,) = analyze(trace).results
    assert (device.to_json()["compute_ns"], device.coverage.linked_pct) == (300, 100.0)


def test_operations_whose_times_were_not_collected_are_left_out_and_counted(tmp_path):
    export = Export()
    export.graph(5_000, 6_000)
    export.graph(0, 0)
    export.kernel(0, 0)
    trace = read(export, tmp_path)
    assert trace.operations.start.tolist() == [5_000]
    assert trace.meta.lost == {"operations": 2}
    assert list(trace.meta.warnings) == [
        f"operations with zeros for their times were left out: 2, the first at {KERNELS} row 1"
    ]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({}, "void k<(int)4>(float *)"),
        ({"demangledName": None}, "k"),
        ({"demangledName": 9_999, "shortName": None}, "_Z1k"),
        ({"demangledName": None, "shortName": None, "mangledName": None}, "kernel"),
    ],
)
def test_a_kernel_has_its_fullest_name(tmp_path, row, name):
    export = Export()
    export.kernel(1, 2, name="another")
    export.kernel(3, 4, **row)
    assert names(read(export, tmp_path), "operations") == ["another", name]


@pytest.mark.parametrize("with_tables", [True, False])
def test_copies_are_named_as_kineto_names_them(tmp_path, with_tables):
    export = Export()
    copies = {
        (1, 1, 2): "Memcpy HtoD (Pinned -> Device)", (2, 2, 0): "Memcpy DtoH (Device -> Pageable)",
        (8, 2, 2): "Memcpy DtoD (Device -> Device)", (10, 2, 2): "Memcpy PtoP (Device -> Device)",
        (1, None, None): "Memcpy HtoD",
        (None, None, None): "Memcpy",
        (11, 4, 2): "Memcpy UVM HtoD (Managed -> Device)",
    }  # fmt: skip
    for ways in copies:
        export.copy(1, 2, ways=ways)
    export.memset(3, 4)
    export.memset(3, 4, memKind=None)
    if with_tables:
        export.add(
            "ENUM_CUDA_MEMCPY_OPER",
            id=8,
            name="CUDA_MEMCPY_KIND_DTOD",
            label="Device-to-Device",
        )
        export.add(
            "ENUM_CUDA_MEM_KIND",
            id=2,
            name="CUDA_MEMOPR_MEMORY_KIND_DEVICE",
            label="Device",
        )
    trace = read(export, tmp_path)
    assert names(trace, "operations") == [*copies.values(), "Memset (Device)", "Memset"]
    assert trace.operations.bytes.tolist() == [4096] * len(copies) + [64, 64]


def test_operations_of_no_device_and_calls_of_no_thread_are_left_out_and_counted(tmp_path):
    export = small()
    export.kernel(1, 2, deviceId=None)
    export.call(1, 2, globalTid=None)
    assert read(export, tmp_path).meta.lost == {"operations": 1, "calls": 1}


def test_operations_without_a_process_are_the_only_callers(tmp_path):
    export = Export()
    export.call(1, 2, 4)
    export.kernel(5, 6, 4, globalPid=None)
    (device,) = analyze(read(export, tmp_path)).results
    assert (device.coverage.linked_pct, device.device.process_name) == (100.0, "100")
