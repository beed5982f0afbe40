"""Make Perfetto traces of known content, as rocprofv3 and torch.profiler write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.make import protobuf
from tests.make.known_work import COPY, KERNEL, TO_DEVICE, TO_HOST, Known, Work

Field = tuple[int, Any]
PID = 908
TORCH_NAMES = {
    TO_HOST: "Memcpy DtoH (Device -> Pageable)",
    TO_DEVICE: "Memcpy HtoD (Pageable -> Device)",
}


def packet(*fields: Field) -> Field:
    return (1, list(fields))


def note(name: str, value: Any) -> Field:
    return (4, [(10, name), (6 if isinstance(value, str) else 4, value)])


def track(uuid: int, name: str, pid: int = 0, tid: int = 0) -> Field:
    thread = [(4, [(1, pid), (2, tid), (5, name)])] if pid or tid else [(2, name)]
    return packet((60, [(1, uuid), *thread]))


def rocprof(known: Known, clock: int = 0, base: int = 0) -> bytes:
    """Return what a process did as rocprofv3 writes it; with `clock`, on an incremental one of a sequence."""
    packets: list[Field] = []
    categories = {"hip_api": 1, "marker_api": 2, "kernel_dispatch": 3, "memory_copy": 4}
    interned = [(1, [(1, iid), (2, name)]) for name, iid in categories.items()]
    packets.append(packet((10, 7), (13, 1), (12, interned)))
    now = base
    if clock:
        snapshot = [(1, [(1, 6), (2, base)]), (1, [(1, clock), (2, base), (3, 1)])]
        packets.append(packet((10, 7), (6, snapshot), (59, [(58, clock)])))
    tracks: dict[str, int] = {}

    def slice_of(
        category: str,
        name: str,
        start: int,
        end: int,
        place: str,
        arguments: dict[str, Any],
    ) -> None:
        nonlocal now
        if place not in tracks:
            tracks[place] = 1000 + len(tracks)
            packets.append(track(tracks[place], place))
        notes = [note(key, value) for key, value in arguments.items()]
        begin: list[Field] = [
            (9, 1),
            (11, tracks[place]),
            (3, categories[category]),
            (23, name),
            *notes,
        ]
        for time, event in ((start, begin), (end, [(9, 2), (11, tracks[place])])):
            packets.append(packet((8, time - now if clock else time), (10, 7), (11, event)))
            now = time

    for call in known.calls:
        said = {"tid": call.thread, "kind": 5, "corr_id": call.launch}
        slice_of(
            "hip_api", call.name, call.start, call.end, f"THREAD 1 ({call.thread})", said
        )
    for span in known.spans:
        said = {"tid": span.thread, "corr_id": 10**6}
        slice_of(
            "marker_api", span.name, span.start, span.end, f"THREAD 1 ({span.thread})", said
        )
    for work in known.work:
        said = {"begin_ns": work.start, "end_ns": work.end, "corr_id": work.launch}
        if work.kind == COPY:
            to_host = work.name == TO_HOST
            place = f"COPY to AGENT [{0 if to_host else work.device}] STREAM [1] ({'CPU' if to_host else 'GPU'})"
            name = f"MEMORY_COPY_{'DEVICE_TO_HOST' if to_host else 'HOST_TO_DEVICE'}"
            said |= {
                "src_agent": f"GPU-{work.device}" if to_host else "CPU-0",
                "copy_bytes": work.bytes,
            }
            slice_of("memory_copy", name, work.start, work.end, place, said)
        else:
            place = f"COMPUTE AGENT [{work.device}] STREAM [1] (GPU)"
            slice_of("kernel_dispatch", work.name, work.start, work.end, place, said)
    return protobuf.message(packets)


def torch(known: Known) -> bytes:
    """Return what a process did as torch.profiler writes it: tracks, names, then groups of begins and of ends."""
    names = sorted(
        {one.name for one in (*known.work, *known.calls, *known.spans)} | {"Memcpy"}
    )
    iids = {name: number + 1 for number, name in enumerate(names)}
    packets = [track(1, "python", PID)]
    for thread in sorted({one.thread for one in (*known.calls, *known.spans)}):
        packets.append(track(100 + thread, f"thread {thread}", PID, thread))
    for device in sorted({work.device for work in known.work}):
        packets.append(track(500 + device, "stream 1 ", device, 1))
    packets.append(
        packet(
            (10, 1),
            (13, 1),
            (12, [(2, [(1, iid), (2, name)]) for name, iid in iids.items()]),
        )
    )

    def group(rows: list[tuple[str, int, int, int, dict[str, Any]]]) -> None:
        for name, start, _, uuid, arguments in rows:
            notes = [
                note(key, value)
                for key, value in arguments.items()
                if not isinstance(value, list)
            ]
            notes += [
                (4, [(10, key), *[(12, [(4, one)]) for one in value]])
                for key, value in arguments.items()
                if isinstance(value, list)
            ]
            packets.append(
                packet(
                    (8, start),
                    (10, 1),
                    (13, 2),
                    (11, [(9, 1), (11, uuid), (10, iids[name]), *notes]),
                )
            )
        for _, _, end, uuid, _ in rows:
            packets.append(packet((8, end), (10, 1), (11, [(9, 2), (11, uuid)])))

    group([
        (call.name, call.start, call.end, 100 + call.thread, {"cbid": 211, "correlation": call.launch})
        for call in known.calls
    ])  # fmt: skip
    group(
        [
            (span.name, span.start, span.end, 100 + span.thread, {"External id": 5})
            for span in known.spans
        ]
    )
    for kind in sorted({work.kind for work in known.work}):
        group([
            ("Memcpy" if work.kind == COPY else work.name, work.start, work.end, 500 + work.device, _arguments(work))
            for work in known.work if work.kind == kind
        ])  # fmt: skip
    return protobuf.message(packets)


def _arguments(work: Work) -> dict[str, Any]:
    said: dict[str, Any] = {
        "device": work.device,
        "context": 1,
        "stream": work.stream,
        "correlation": work.launch,
    }
    if work.kind == KERNEL:
        return said | {"grid": [1, 1, 1], "block": [32, 1, 1]}
    if work.kind == COPY:
        to_host = work.name == TORCH_NAMES[TO_HOST]
        sides = ("device", "pageable") if to_host else ("pageable", "device")
        return said | {
            "bytes": work.bytes, "copy kind": "DtoH" if to_host else "HtoD", "src kind": sides[0], "dst kind": sides[1],
        }  # fmt: skip
    return said | {"bytes": work.bytes}


def stages(known: Known) -> bytes:
    """Return operations as newer torch writes them: stages of a GPU."""
    kinds = {0: "Kernel", 1: "Memcpy", 2: "Memset"}
    interned: list[Field] = [
        (24, [(1, kind + 1), (2, name)]) for kind, name in kinds.items()
    ]
    interned.append((24, [(1, 9), (2, "stream 1")]))
    packets = [packet((10, 1), (13, 1), (12, interned))]
    for work in known.work:
        extra = [
            (6, [(1, "correlation"), (2, str(work.launch))]),
            (6, [(1, "bytes"), (2, str(work.bytes))]),
        ]
        event = [
            (1, work.launch),
            (2, work.end - work.start),
            (11, work.device),
            (13, 9),
            (14, work.kind + 1),
            *extra,
        ]
        packets.append(packet((8, work.start), (10, 1), (53, event)))
    return protobuf.message(packets)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
