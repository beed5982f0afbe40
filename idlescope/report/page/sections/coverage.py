"""What the trace holds, in words, and so what the figures rest on."""

from __future__ import annotations

from collections.abc import Iterator

from idlescope.analysis.result import DeviceResult
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.text import milliseconds

ALL_PCT = 99.95  # shown as 100.0 %
# What is missing or wrong, where there is any: a figure of Coverage, and what it says.
COUNTS = {
    "launched_before_recording": "{:,} operations were launched before the recording began",
    "operations_before_launch": "{:,} operations start before their launch does",
    "zero_duration_operations": "{:,} operations have no length",
    "corrupt_operations": "{:,} operations cannot have lasted as long as recorded",
    "graph_launches_without_operations": "{:,} graph launches have no operations",
    "launches_without_operations": "{:,} calls launch something that was not recorded",
    "launches_lost": "{:,} of these are of a kind that was recorded later",
    "launches_in_capture": "{:,} calls put work into a CUDA graph: it was captured, not run",
    "steps_without_operations": "{:,} steps have no operation",
}
FLAGS = {
    "first_step_clipped": "The first step is cut off",
    "last_step_clipped": "The last step is cut off",
    "truncated": "The file ends early",
}


def fill(material: Material) -> FragmentData | None:
    """Return sentences for each line of work; None where no device was seen."""
    lines = material.page.lines
    if not lines:
        return None
    told = [(line.title, list(sentences(line.result))) for line in lines]
    hints = dict.fromkeys(texts[0] for _, texts in told)
    return {"lines": told, "hint": " ".join(hints) if len(hints) == 1 else ""}


def sentences(result: DeviceResult) -> Iterator[str]:
    """Yield what the trace holds of a device; what is in order takes one sentence."""
    coverage = result.coverage
    if coverage.linked_pct >= ALL_PCT:
        yield "Of every operation the call that launched it is known."
    else:
        yield f"Of {coverage.linked_pct:.1f} % of operations the launching call is known."
    yield from _graphs(coverage)
    for figure, text in COUNTS.items():
        if count := getattr(coverage, figure):
            yield f"{text.format(count)}."
    for figure, text in FLAGS.items():
        if getattr(coverage, figure):
            yield f"{text}."
    yield from _times(coverage)
    for lost in coverage.dropped:
        yield f"The profiler says: {lost}."
    if coverage.uncertain:
        yield f"Records that were lost could change: {', '.join(coverage.uncertain)}."


def _graphs(coverage: Coverage) -> Iterator[str]:
    if coverage.graph_mode == "none":
        return
    launches = f"{coverage.graph_launches:,} launches of CUDA graphs"
    if coverage.graph_mode == "graph-level":
        yield f"{launches} are recorded as one piece each."
    else:
        yield f"{launches} are recorded with each of their kernels."


def _times(coverage: Coverage) -> Iterator[str]:
    if coverage.blocked_in_gaps_ns:
        waited = milliseconds(coverage.blocked_in_gaps_ns)
        yield f"For {waited} the host waited for the device while nothing ran."
    if coverage.clock_ns:
        apart = milliseconds(abs(coverage.clock_ns))
        way = "ahead of" if coverage.clock_ns > 0 else "behind"
        yield f"The device's clock is at least {apart} {way} the host's."
    if coverage.idle_low_ns != coverage.idle_high_ns:
        low, high = map(milliseconds, (coverage.idle_low_ns, coverage.idle_high_ns))
        yield f"With what is missing, idle is between {low} and {high}."


SECTION = Section("What the trace holds", fragment_beside(__file__), fill, folded=True)
