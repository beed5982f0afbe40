"""One recording reduced to what a comparison needs: where the time of its steps went, in stretches one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.analyze import no_device
from idlescope.analysis.document import SCHEMA
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle import host_time, occupancy
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.measure import blocked
from idlescope.analysis.steps.window import LONGEST_NS
from idlescope.analysis.verdict.verdict import CANNOT_TELL
from idlescope.errors import TraceError
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import RangeKind
from idlescope.trace.names.engines import IDLE, STEP
from idlescope.trace.names.own_engine import TOKENS
from idlescope.trace.table import Float64, Int64

# Stretches of equally many steps: few, so that they are long, and slow changes of the machine are seen as noise.
BLOCKS, SHORTEST, FEWEST = (
    16,
    12,
    8,
)  # of at least so many steps, as long as there are at least so many stretches
COMPUTE, COPIES, IDLE_PREFIX = "compute", "copies only", "idle: "  # the last before each cause
HOST_PREFIX = f"{IDLE_PREFIX}host: "
HOST_WORK, PHASE_PREFIX = "host work", "host work: "
_ANALYSIS = re.compile(rb'^\s*\{\s*"schema"\s*:\s*\d+\s*,\s*"source"\s*:')


@dataclass(frozen=True)
class Sample:
    """Where the time of one recording went. Columns have one row a block; a single row where no steps are known.

    The parts add up to the window: device compute, copies alone, and idle by cause, `host` divided further. Of several
    devices, parts and steps are summed.
    """

    path: str
    name: str  # of the device
    model: str  # "" where it is not known
    modelled: bool
    batching: str  # "synchronous", "asynchronous", "serialised"; else what it is called where it is not known
    doubts: tuple[str, ...]  # why nothing can be concluded from it
    warnings: tuple[str, ...]  # of its analysis
    parts: Mapping[str, Float64]  # ns
    work: Mapping[
        str, Float64
    ]  # ns in which the host worked, hidden behind the device or not: in all, by phase
    steps: Float64  # 0 where they are not known
    tokens: Float64  # 0 where they are not known

    @property
    def blocks(self) -> int:
        """Return how many stretches the recording is divided into."""
        return self.steps.size

    @property
    def window(self) -> Float64:
        """Return the length of each block, ns."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0), np.float64)


def of_analysis(analysis: Analysis) -> Sample:
    """Return the Sample of an analysis. Raises TraceError where no operation ran on any device."""
    meta, results = analysis.trace.meta, analysis.results
    if not results:
        raise TraceError(no_device(analysis.trace))
    least = min(len(d.steps) for d in results)
    blocks = min(least, max(FEWEST, min(BLOCKS, least // SHORTEST))) if least else BLOCKS
    parts: dict[str, Float64] = {}
    work: dict[str, Float64] = {}
    for device in results:
        edges = _edges(device, blocks)
        for name, ns in _parts(analysis, device, edges).items():
            parts[name] = parts.get(name, np.zeros(blocks)) + ns
        for name, ns in _work(analysis, device, edges).items():
            work[name] = work.get(name, np.zeros(blocks)) + ns
    bounds = [_bounds(len(d.steps), blocks) for d in results]
    none = np.zeros(blocks)
    return Sample(
        path=str(analysis.source["path"]),
        name=results[0].device.name,
        model=meta.model,
        modelled=_modelled(results[0].device.name, meta),
        batching=results[0].batching.kind,
        doubts=tuple(
            dict.fromkeys(d.verdict.text for d in results if d.verdict.kind == CANNOT_TELL)
        ),
        warnings=analysis.warnings,
        parts=parts,
        work=work,
        steps=np.asarray(sum((np.diff(b) for b in bounds), none), np.float64) if least else none,
        tokens=_tokens(analysis, _edges(results[0], blocks)) if len(results) == 1 else none,
    )


def _modelled(name: str, meta: Metadata) -> bool:
    # a conversion to another format keeps only the name
    return meta.measured is False or name.startswith("modelled ")


def _bounds(steps: int, blocks: int) -> Int64:
    """Return the first step of each block, and how many steps there are: blocks of equally many, or one more."""
    return np.arange(blocks + 1) * steps // blocks


def _edges(device: DeviceResult, blocks: int) -> Int64:
    """Return where the blocks of a window begin and the last ends: when their steps are done on the device.

    What runs at its start of a step that was launched before the recording is of no block.
    """
    low, high = device.occupancy.window
    if not len(device.steps):
        return np.linspace(low, high, blocks + 1).astype(np.int64)
    before = (
        (device.step < 0) & (device.launches < 0) & (device.operations.end <= device.steps.done[0])
    )
    low = max(low, int(device.operations.end[before].max(initial=low)))
    done = np.maximum.accumulate(np.clip(device.steps.done, low, high))
    return np.concatenate(([low], done[_bounds(len(device.steps), blocks)[1:-1] - 1], [high]))


def _parts(analysis: Analysis, device: DeviceResult, edges: Int64) -> dict[str, Float64]:
    """Return the nanoseconds of each part in each block; a gap is of the block in which it begins."""
    gaps, operations, blocks = device.gaps, device.operations, edges.size - 1
    computing = operations.take(occupancy.is_compute(operations))
    busy = intervals.union(computing.start, computing.end)
    compute = np.diff(intervals.covered_before(busy, edges))
    active = np.diff(edges) - np.diff(intervals.covered_before(device.occupancy.gaps, edges))
    parts = {COMPUTE: compute, COPIES: active - compute}
    block = np.clip(np.searchsorted(edges, gaps.start, "right"), 0, blocks)  # 0: before the first
    by_label = host_time.divide_by(device.view, gaps, Groups(block, blocks + 1))
    parts |= {f"{HOST_PREFIX}{label}": ns[1:] for label, ns in by_label.items()}
    for cause in CAUSES[1:]:
        parts[f"{IDLE_PREFIX}{cause}"] = np.bincount(block, getattr(gaps, cause), blocks + 1)[1:]
    return {name: np.asarray(ns, np.float64) for name, ns in parts.items()}


def _work(analysis: Analysis, device: DeviceResult, edges: Int64) -> dict[str, Float64]:
    """Return the nanoseconds that the host worked in each block, waiting left out: in all, and in spans of each phase.

    Work is of the block in which it begins.
    """
    steps, trace, phases = device.steps, analysis.trace, analysis.phases
    blocks = edges.size - 1
    work = {}
    if len(steps):
        of = np.searchsorted(_bounds(len(steps), blocks), np.arange(len(steps)), "right") - 1
        work[HOST_WORK] = np.bincount(of, steps.host, blocks)
    low, high = device.window.start, device.window.end
    spans = trace.ranges.take(trace.threads_of(device.device.process)[trace.ranges.thread])
    spans = spans.take(
        (spans.kind == RangeKind.ANNOTATION) & (spans.end > low) & (spans.start < high)
    )
    for label in phases.labels:
        if label in (STEP, IDLE) or not (mine := phases.named(label)[spans.name]).any():
            continue
        some = spans.take(mine)
        ns = some.end - some.start - blocked(trace, some, device.waits).length
        at = np.clip(np.searchsorted(edges, some.start, "right") - 1, 0, blocks - 1)
        work[f"{PHASE_PREFIX}{label}"] = np.bincount(at, ns, blocks)
    return {name: np.asarray(ns, np.float64) for name, ns in work.items()}


def _tokens(analysis: Analysis, edges: Int64) -> Float64:
    """Return the tokens that each block's steps gave out, as our own step clock counted them; else zeros."""
    counters, trace = analysis.trace.counters, analysis.trace
    if analysis.engine != "idlescope":
        return np.zeros(edges.size - 1)
    rows = counters.name == trace.name_index(TOKENS)
    # tokens are counted when the host is done with a step; of the last one, after the window
    block = np.clip(np.searchsorted(edges, counters.time[rows], "right") - 1, 0, edges.size - 2)
    return np.asarray(np.bincount(block, counters.value[rows], edges.size - 1), np.float64)


def is_analysis(path: Path) -> bool:
    """Return whether a file is what `analyze --json` prints."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _ANALYSIS.match(file.read(64)) is not None


def of_json(path: Path) -> Sample:
    """Return the Sample of an `analysis.json`: one block, since it does not say when the parts came."""
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refused)
        if document["schema"] != SCHEMA:
            raise TraceError(
                f"{path} has schema {document['schema']}, this idlescope reads {SCHEMA}: upgrade it"
            )
        return _of_document(path, document)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise TraceError(
            f"{path} is not a whole analysis.json ({type(error).__name__}: {error}): run `idlescope analyze` again"
        ) from error


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no figure")


def _of_document(path: Path, document: Mapping[str, Any]) -> Sample:
    devices, steps = document["devices"], document["steps"]
    if not devices:
        raise TraceError(
            f"{path} holds no device, so there is nothing to compare: analyse a trace of a GPU machine"
        )
    parts: dict[str, Float64] = {}
    for d in devices:
        mine = {COMPUTE: d["compute_ns"], COPIES: d["copy_only_ns"]}
        mine |= {f"{HOST_PREFIX}{label}": ns for label, ns in d["host_ns"].items()}
        mine |= {f"{IDLE_PREFIX}{cause}": d["cause_ns"][cause] for cause in CAUSES[1:]}
        for name, ns in mine.items():
            if not 0 <= ns < LONGEST_NS:
                raise ValueError(f"{name} takes {ns} ns")
            parts[name] = parts.get(name, np.zeros(1)) + float(ns)
    known = {(s["process"], s["device"]) for s in steps} == {
        (d["process"], d["device"]) for d in devices
    }
    return Sample(
        path=str(path),
        name=str(devices[0]["name"]),
        model="",
        modelled=_modelled(str(devices[0]["name"]), Metadata()),
        batching=str(devices[0]["batching"]["kind"]),
        doubts=tuple(
            dict.fromkeys(
                d["verdict"]["text"] for d in devices if d["verdict"]["kind"] == CANNOT_TELL
            )
        ),
        warnings=tuple(map(str, document["warnings"])),
        parts=parts,
        work={HOST_WORK: np.array([float(sum(s["host_ns"] for s in steps))])} if known else {},
        steps=np.array([float(len(steps) if known else 0)]),
        tokens=np.zeros(1),
    )
