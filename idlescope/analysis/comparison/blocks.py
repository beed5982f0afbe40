"""An analysed recording, broken down in blocks: stretches of equally many consecutive steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.comparison.breakdown import (
    COMMUNICATION,
    COMPUTE,
    COPIES,
    HOST_PREFIX,
    HOST_WORK,
    IDLE_PREFIX,
    PHASE_PREFIX,
    Breakdown,
    is_modelled,
)
from idlescope.analysis.comparison.recorders import recorded_by
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle import host_time
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.idle.of_steps import outside_pauses
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.no_device import no_device
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.load import prompt_pct, requests_of_steps
from idlescope.analysis.steps.measure import blocked, waits_for_others
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.errors import TraceError
from idlescope.trace.model import RangeKind, Ranges
from idlescope.trace.names.engines import IDLE, RANK_WAIT, STEP
from idlescope.trace.names.own_engine import TOKENS
from idlescope.trace.table import Float64, Int64

# Few blocks, so that they are long, and slow changes of the machine are seen as noise.
MOST_BLOCKS, FEWEST_BLOCKS = 16, 8
SHORTEST_BLOCK = 12  # steps, as long as there are FEWEST_BLOCKS


@dataclass(frozen=True)
class _Blocks:
    """How the window of one device is divided into blocks."""

    first_step: Int64  # row of the first step of each block; at the end the number of steps
    edges: Int64  # when each block begins, ns; at the end when the last one ends

    def __len__(self) -> int:
        return self.edges.size - 1

    def at(self, times: Int64) -> Int64:
        """Return the block of each time; times beyond the window are of the block beside them."""
        block = np.searchsorted(self.edges, times, "right") - 1
        return np.clip(block, 0, len(self) - 1)

    def covered(self, disjoint: Intervals) -> Int64:
        """Return the nanoseconds of each block that disjoint intervals cover."""
        return np.diff(intervals.covered_before(disjoint, self.edges))

    def of_gaps(self, gaps: Gaps) -> Groups:
        """Return the block of each gap, that which it begins in, from 1; 0: before the first."""
        block = np.searchsorted(self.edges, gaps.start, "right")
        return Groups(np.clip(block, 0, len(self)), len(self) + 1)

    def of_steps(self) -> Int64:
        """Return the block of each step."""
        return np.repeat(np.arange(len(self)), np.diff(self.first_step))

    def total(self, block: Int64, ns: Int64) -> Float64:
        """Return the sum of some lengths of time in each block."""
        return np.asarray(Groups(block, len(self)).total(ns), np.float64)


def of_analysis(analysis: Analysis) -> Breakdown:
    """Return the breakdown of an analysis.

    Raises TraceError where no operation ran on any device.
    """
    devices = analysis.results
    if not devices:
        raise TraceError(no_device(analysis.trace))
    fewest_steps = min(len(device.steps) for device in devices)
    count = _block_count(fewest_steps)
    parts: dict[str, Float64] = {}
    apart = np.zeros(count)
    host_work: dict[str, Float64] = {}
    steps = np.zeros(count)
    tokens = np.zeros(count)
    for device in devices:
        blocks = _divide(device, count)
        of_device = _parts(device, blocks)
        _add(parts, of_device)
        apart += _apart(device, blocks, of_device)
        _add(host_work, _host_work(device, blocks))
        if fewest_steps:
            steps += np.diff(blocks.first_step)
        if len(devices) == 1:
            tokens = _tokens(analysis, device, blocks)
    meta, first = analysis.trace.meta, devices[0]
    return Breakdown(
        path=str(analysis.source["path"]),
        device_name=first.device.name,
        model=meta.model,
        modelled=is_modelled(first.device.name, meta.measured),
        batching=first.batching.kind,
        doubts=_doubts(devices),
        warnings=analysis.warnings,
        parts=parts,
        apart=apart,
        host_work=host_work,
        steps=steps,
        tokens=tokens,
        prompt_pct=prompt_pct(first),
        recorded_by=recorded_by(meta),
    )


def _block_count(steps: int) -> int:
    """Return how many blocks so many steps make; 0 steps are divided by time."""
    if not steps:
        return MOST_BLOCKS
    long_enough = min(MOST_BLOCKS, steps // SHORTEST_BLOCK)
    return min(steps, max(FEWEST_BLOCKS, long_enough))


def _add(totals: dict[str, Float64], more: Mapping[str, Float64]) -> None:
    for name, ns in more.items():
        totals[name] = totals[name] + ns if name in totals else ns


def _doubts(devices: Sequence[DeviceResult]) -> tuple[str, ...]:
    texts = [
        device.verdict.text for device in devices if device.verdict.kind == CANNOT_TELL
    ]
    return tuple(dict.fromkeys(texts))


def _divide(device: DeviceResult, count: int) -> _Blocks:
    """Return the blocks of a device's window: they end when their last step is done.

    What runs at the window's start of a step launched before the recording is of no block.
    """
    steps = device.steps
    first_step = np.arange(count + 1) * len(steps) // count
    low, high = device.occupancy.window
    if not len(steps):
        equally_long = np.linspace(low, high, count + 1)
        return _Blocks(first_step, equally_long.astype(np.int64))
    low = _first_step_begins(device)
    done = np.clip(steps.done, low, high)
    reach = np.maximum.accumulate(done)
    last_step = first_step[1:-1] - 1
    edges = np.concatenate(([low], reach[last_step], [high]))
    return _Blocks(first_step, edges)


def _first_step_begins(device: DeviceResult) -> int:
    """Return when what was launched before the recording has ended, within the first step."""
    low, _ = device.occupancy.window
    ends = device.operations.end
    of_no_step = (device.step < 0) & (device.launches < 0)
    before = of_no_step & (ends <= device.steps.done[0])
    return max(low, int(ends[before].max(initial=low)))


def _parts(device: DeviceResult, blocks: _Blocks) -> dict[str, Float64]:
    """Return the nanoseconds of each part in each block; a gap is of the block it begins in."""
    operations = device.operations
    computing = operations.take(is_compute(operations))
    busy = intervals.union(computing.start, computing.end)
    compute = blocks.covered(busy)
    active = np.diff(blocks.edges) - blocks.covered(device.occupancy.gaps)
    parts = {COMPUTE: compute}
    if device.communication.exposed_ns:
        useful = blocks.covered(device.communication.computing)
        parts = {COMPUTE: useful, COMMUNICATION: compute - useful}
    parts[COPIES] = active - compute

    gaps = device.gaps.take(np.delete(np.arange(len(device.gaps)), device.apart.pauses))
    groups = blocks.of_gaps(gaps)
    for label, ns in _host_labels(device, gaps, groups).items():
        parts[f"{HOST_PREFIX}{label}"] = ns[1:]
    for cause in CAUSES[1:]:
        in_block = groups.total(getattr(gaps, cause))
        parts[f"{IDLE_PREFIX}{cause}"] = in_block[1:]
    return {name: np.asarray(ns, np.float64) for name, ns in parts.items()}


def _host_labels(device: DeviceResult, gaps: Gaps, groups: Groups) -> Mapping[str, Int64]:
    """Return the `host` part of some gaps by what the host did, without that of no request."""
    all_starved = gaps.no_demand >= gaps.host
    starved = np.asarray(all_starved & (gaps.no_demand > 0), np.bool_)
    by_label = host_time.divide_by(device.view, gaps.take(~starved), groups.only(~starved))
    return {label: ns for label, ns in by_label.items() if label != NO_DEMAND}


def _apart(device: DeviceResult, blocks: _Blocks, parts: Mapping[str, Float64]) -> Float64:
    """Return the idle time of each block that is no cost of a step: pauses, and no requests."""
    idle_ns = blocks.of_gaps(device.gaps).total(device.gaps.length)[1:]
    of_steps = [ns for name, ns in parts.items() if name.startswith(IDLE_PREFIX)]
    return np.asarray(idle_ns - np.sum(of_steps, axis=0), np.float64)


def _host_work(device: DeviceResult, blocks: _Blocks) -> dict[str, Float64]:
    """Return the nanoseconds in which the host worked in each block: in all, and by phase.

    Waiting and pauses are left out. Host work is of the block in which it begins.
    """
    work: dict[str, Float64] = {}
    if len(device.steps):
        work[HOST_WORK] = blocks.total(blocks.of_steps(), device.host_work_ns)
    names = device.view.names
    spans = _spans(device)
    for_others = waits_for_others(device.view.trace, names)
    for label in names.labels:
        if label in (STEP, IDLE, RANK_WAIT):
            continue
        is_named = names.named(label)
        named = spans.take(is_named[spans.name])
        if not len(named):
            continue
        waited = blocked(device.view.trace, named, device.waits, for_others)
        worked_ns = outside_pauses(
            device.gaps, device.apart, named, named.end - named.start - waited.length
        )
        work[f"{PHASE_PREFIX}{label}"] = blocks.total(blocks.at(named.start), worked_ns)
    return work


def _spans(device: DeviceResult) -> Ranges:
    """Return the named spans of the device's process that lie within the window, in part."""
    trace, window = device.view.trace, device.window
    own_thread = trace.threads_of(device.view.process)
    spans = trace.ranges.take(own_thread[trace.ranges.thread])
    spans = spans.take(spans.kind == RangeKind.ANNOTATION)
    return spans.take((spans.end > window.start) & (spans.start < window.end))


def _tokens(analysis: Analysis, device: DeviceResult, blocks: _Blocks) -> Float64:
    """Return the tokens that the steps of each block give out; zeros where nothing tells.

    Our own step clock counts them. What spans say of a step are its requests, each of which gets a
    token of it at most.
    """
    if device.steps.found == RECORDED:
        counters = analysis.trace.counters
        counters = counters.take(counters.name == analysis.trace.name_index(TOKENS))
        # Tokens are counted when the host is done with a step: of the last one, after the window.
        tokens = np.bincount(blocks.at(counters.time), counters.value, len(blocks))
        return np.asarray(tokens, np.float64)
    requests = requests_of_steps(device)
    if requests is None:
        return np.zeros(len(blocks))
    return blocks.total(blocks.of_steps(), requests)
