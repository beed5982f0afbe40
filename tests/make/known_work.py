"""What a program did, as plain records: the truth that files of every format are made of and compared with.

`figures` and `causes` are computed straight from the definitions, an interval at a time, and share no line with
idlescope's analysis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from idlescope.analysis import launches
from idlescope.analysis.analyze import analyze
from idlescope.trace.model import OperationKind, RangeKind, Trace
from tests.fuzz.reference import union

KERNEL, COPY, SET = OperationKind.KERNEL, OperationKind.MEMCPY, OperationKind.MEMSET
ANNOTATION, OPERATOR = RangeKind.ANNOTATION, RangeKind.OPERATOR
TO_HOST, TO_DEVICE = "Memcpy DtoH (Device -> Host)", "Memcpy HtoD (Host -> Device)"


class Work(NamedTuple):
    """One operation of a device; `launch` is the id of its call, 0 where none was recorded."""

    start: int
    end: int
    launch: int
    name: str
    kind: OperationKind = KERNEL
    device: int = 0
    stream: int = 1
    bytes: int = 0


class Call(NamedTuple):
    """One call of the host."""

    start: int
    end: int
    launch: int
    name: str
    thread: int = 51


class Span(NamedTuple):
    """One range of the host."""

    start: int
    end: int
    name: str
    kind: RangeKind = ANNOTATION
    thread: int = 51


@dataclass
class Known:
    """What one process did."""

    work: list[Work] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def renamed(self, names: dict[str, str]) -> Known:
        """Return the same with some operations called otherwise."""
        work = [one._replace(name=names.get(one.name, one.name)) for one in self.work]
        return Known(work, self.calls, self.spans)

    def idle(self, device: int) -> int:
        """Return how long a device was idle between its first operation and its last."""
        spans = [(work.start, work.end) for work in self.work if work.device == device]
        return (
            max(end for _, end in spans) - min(start for start, _ in spans) - union(spans)
        )

    def causes(self, device: int) -> dict[str, int]:
        """Return how idle divides, gap by gap, as DEFINITIONS says."""
        calls = {call.launch: call for call in self.calls if call.launch}
        works = sorted(work for work in self.work if work.device == device)
        total = dict.fromkeys(("host", "launch", "queued", "unattributed"), 0)
        reached = works[0].end
        for work in works[1:]:
            if work.start > reached:
                together = [
                    calls[other.launch]
                    for other in works
                    if other.start == work.start and other.launch in calls
                ]
                gap = work.start - reached
                if not together:
                    total["unattributed"] += gap
                else:
                    call = min(together, key=lambda found: (found.start, found.end))
                    host = max(0, min(call.start, work.start) - reached)
                    total["host"] += host
                    total["launch" if call.end > reached else "queued"] += gap - host
            reached = max(reached, work.end)
        return total


BASE = 3_489_389_197_956_317  # ns since a machine was started


def steps(
    count: int = 6, base: int = BASE, devices: int = 1, fill: str = "Memset"
) -> Known:
    """Return a synchronous loop: schedule, a copy in, kernels, a copy out that the host waits for."""
    known = Known()
    launch = 100
    for device in range(devices):
        now = base + 37 * device
        thread = 51 + device
        for number in range(count):
            begin = now
            host = 40_000 + 1_000 * number
            known.spans.append(Span(begin, begin + host, "schedule", ANNOTATION, thread))
            known.spans.append(
                Span(begin + host, begin + host + 60_000, "aten::mm", OPERATOR, thread)
            )
            at = begin + host
            for name, kind, length, size in (
                (TO_DEVICE, COPY, 3_000, 4096),
                (fill, SET, 1_500, 0),
                ("gemm_kernel<float>(int)", KERNEL, 90_000, 0),
                ("attention_kernel", KERNEL, 50_000 + 7 * number, 0),
                (TO_HOST, COPY, 2_500, 128),
            ):
                launch += 1
                call = {
                    COPY: "hipMemcpyAsync",
                    SET: "hipMemsetAsync",
                    KERNEL: "hipLaunchKernel",
                }[kind]
                known.calls.append(Call(at, at + 6_000, launch, call, thread))
                ran = [work.end for work in known.work if work.device == device]
                start = max([at + 9_000, *(end + 400 for end in ran)])
                known.work.append(
                    Work(start, start + length, launch, name, kind, device, 1, size)
                )
                at += 7_000
            launch += 1
            end = known.work[-1].end + 12_000
            known.calls.append(Call(at, end, launch, "hipStreamSynchronize", thread))
            now = end + 5_000
    return known


def linked_names(trace: Trace) -> list[str]:
    """Return the name of the call that launched each operation; "" where none is known."""
    rows = launches.link(trace, trace.operations).tolist()
    return [trace.names[trace.calls.name[row]] if row >= 0 else "" for row in rows]


def assert_holds(trace: Trace, known: Known) -> None:
    """Compare a trace with the truth: every record of it, and the figures of each device."""
    calls = {call.launch: call.name for call in known.calls}
    operations = trace.operations
    found = sorted(
        zip(
            operations.start.tolist(),
            operations.end.tolist(),
            [trace.devices[device].index for device in operations.device],
            operations.kind.tolist(),
            [trace.names[name] for name in operations.name],
            operations.bytes.tolist(),
            linked_names(trace),
            strict=True,
        )
    )
    assert found == sorted(
        (
            work.start,
            work.end,
            work.device,
            int(work.kind),
            work.name,
            work.bytes,
            calls.get(work.launch, ""),
        )
        for work in known.work
    )
    assert sorted(
        (start, end, trace.names[name])
        for start, end, name in zip(
            trace.calls.start.tolist(),
            trace.calls.end.tolist(),
            trace.calls.name,
            strict=True,
        )
    ) == sorted((call.start, call.end, call.name) for call in known.calls)
    ranges = trace.ranges
    assert sorted(
        (start, end, trace.names[name], kind)
        for start, end, name, kind in zip(
            ranges.start.tolist(),
            ranges.end.tolist(),
            ranges.name,
            ranges.kind.tolist(),
            strict=True,
        )
    ) == sorted((span.start, span.end, span.name, int(span.kind)) for span in known.spans)
    assert_figures(trace, known)


def assert_figures(trace: Trace, known: Known) -> None:
    """Compare idle and its causes with those that the truth has."""
    analysis = analyze(trace)
    assert {result.device.index for result in analysis.results} == {
        work.device for work in known.work
    }
    for result in analysis.results:
        index = result.device.index
        assert result.occupancy.idle_ns == known.idle(index)
        document = next(
            device for device in analysis.to_json()["devices"] if device["device"] == index
        )
        assert document["cause_ns"] == known.causes(index)
