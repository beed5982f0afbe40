"""What time of the host is called: by phase, and by what ran within it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP
from idlescope.trace.names.span_names import SpanNames

UNTRACED = "untraced"
NO_DEMAND = "no demand"
CALL_PREFIX = "call: "
RANGE_PREFIX = "range: "
BETWEEN = "between "
WITHIN = " › "  # between a phase and what ran within it
_END_OF_PHASE = re.compile(r" \(| › |: ")
_NUMBER = re.compile(r"\d+")
_ADDRESS_SIGN = " at 0x"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_NUMBERED_MODULE = re.compile(r"^(nn\.Module: .*)_\d+$")


def phase_label(names: SpanNames, index: int, name: str) -> str:
    """Return what time in a span is charged to: its phase, with its name where that says more.

    `index` is that of the name in the trace. A name without a phase is charged as `range_label`
    says.
    """
    code = int(names.phase[index])
    if code < 0:
        return range_label(name)
    phase = names.labels[code]
    if name.removeprefix("idlescope:") == phase:
        return phase
    # Names of whole steps hold the batch's sizes, which would make a label of each step. A frame's
    # number is a line.
    if phase in (STEP, "forward") and ".py(" not in name:
        name = _NUMBER.sub("N", name)
    return f"{phase} ({name})"


def range_label(name: str) -> str:
    """Return what time in a range without a phase is charged to."""
    return RANGE_PREFIX + ("ProfilerStep#" if PROFILER_STEP.match(name) else name)


def phase_of(label: str) -> str:
    """Return the phase that a label is of; the label itself where it is of none."""
    if label.startswith((RANGE_PREFIX, CALL_PREFIX)):
        return label
    return _END_OF_PHASE.split(label, maxsplit=1)[0]


def is_untraced(label: str) -> bool:
    """Return whether a label is of time in which nothing was recorded, whatever surrounds it."""
    return label == UNTRACED or label.startswith(BETWEEN)


def largest_part(host_ns: Mapping[str, int]) -> tuple[str, int]:
    """Return what most of the host's time is, and its nanoseconds: a phase, or one label of it.

    The label stands for its phase where it holds most of it; where it is the phase's only span,
    what ran within the phase counts, too.
    """
    by_phase: dict[str, int] = {}
    for label, ns in host_ns.items():
        phase = phase_of(label)
        by_phase[phase] = by_phase.get(phase, 0) + ns
    phase = max(by_phase, key=lambda name: by_phase[name])
    of_phase = {label: ns for label, ns in host_ns.items() if phase_of(label) == phase}
    label = max(of_phase, key=lambda name: of_phase[name])
    if 2 * of_phase[label] > by_phase[phase]:
        spans = [name for name in of_phase if name.startswith(f"{phase} (")]
        return label, by_phase[phase] if spans == [label] else of_phase[label]
    return phase, by_phase[phase]


class HostLabels:
    """The labels of one trace's host time."""

    def __init__(self, trace: Trace, names: SpanNames, waits: Mapping[int, str]) -> None:
        self._trace = trace
        self._names = names
        self.waits = waits  # what frames wait for, by index of their names
        self._shown: dict[int, str] = {}
        self._within: dict[tuple[int, int], str] = {}
        labels = (*names.labels, "")  # -1: of no phase
        self._phases = [labels[code] for code in names.phase.tolist()]
        self._numbered = _differ_by_numbers(trace)

    def within(self, phase: int, name: int) -> str:
        """Return what time in a range is charged to, given as indices into the trace's names.

        `phase` is the span of a phase, or the frame of a wait, that it lies in; -1: none.
        """
        label = self._within.get((phase, name))
        if label is None:
            label = self._within[phase, name] = self._label_within(phase, name)
        return label

    def _label_within(self, phase: int, name: int) -> str:
        if phase < 0:
            return range_label(self.shown(name))
        if phase in self.waits:
            return self.waits[phase]
        label = self._phases[phase]
        if label == IDLE:
            return NO_DEMAND
        if name == phase or self._phases[name] == STEP:
            return phase_label(self._names, phase, self.shown(phase))
        return f"{label}{WITHIN}{self.shown(name)}"

    def shown(self, name: int) -> str:
        """Return a name without what makes a label of each object or each step."""
        shown = self._shown.get(name)
        if shown is None:
            shown = self._plain(self._trace.names[name])
            self._shown[name] = shown
        return shown

    def _plain(self, name: str) -> str:
        if self._numbered and (numbered := _NUMBER.sub("N", name)) in self._numbered:
            return numbered
        if _ADDRESS_SIGN in name:
            name = _ADDRESS.sub("", name)
        return _NUMBERED_MODULE.sub(r"\1_N", name)


def _differ_by_numbers(trace: Trace) -> frozenset[str]:
    """Return the names, numbers as "N", of which annotations have several with other numbers.

    Operators of PyTorch, such as aten::conv2d, are left out: their numbers are no sizes.
    """
    kinds = trace.ranges.kind
    used = np.zeros(len(trace.names), np.bool_)
    used[trace.ranges.name[kinds <= RangeKind.OPERATOR]] = True
    names = (trace.names[index] for index in np.flatnonzero(used).tolist())
    plain = [name for name in names if "::" not in name and not PROFILER_STEP.match(name)]
    counts = Counter(_NUMBER.sub("N", name) for name in plain)
    return frozenset(name for name, count in counts.items() if count > 1)
