"""The timeline that zooms, opened on typical steps, with the longest gap beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.palette import CALL, CAUSE, OPERATION, PHASE, RANK, WITHOUT_DEMAND
from idlescope.report.page.host_lanes import CALLS, HOST, blocking_call
from idlescope.report.page.lanes import GAPS, OF_DEVICE
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.page.timeline import PackedTimeline
from idlescope.report.tables.gaps import gap_cells
from idlescope.trace.names.own_engine import ENGINE_PHASES

MAX_STACK_NAMES = 6  # innermost
Keys = list[tuple[str, str]]  # label, colour


def fill(material: Material) -> FragmentData | None:
    """Return titles, keys, the longest gap and what was left out; None where no device was seen."""
    packed, lines = material.timeline, material.page.lines
    if packed is None:
        return None
    blocking = dict.fromkeys(filter(None, (blocking_call(line.result) for line in lines)))
    return {
        "titles": " and ".join(line.title for line in lines),
        "still": _embedded(material.page.still),
        "cut": left_out(packed),
        "key_rows": [keys for keys in colour_keys(packed, " or ".join(blocking)) if keys],
        **_longest_gap(material),
    }


def _embedded(picture: Path | None) -> str:
    """Return an SVG file as an address that holds the whole image; empty where there is none."""
    if picture is None:
        return ""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _longest_gap(material: Material) -> FragmentData:
    """Return the longest gap of all lines of work, and whose it is."""
    with_gaps = [line for line in material.page.lines if line.result.longest]
    if not with_gaps:
        return {"gap": None}
    line = max(with_gaps, key=lambda work_line: work_line.result.longest[0].length_ns)
    cells = gap_cells(line.result, line.result.longest[0], MAX_STACK_NAMES)
    return {"gap": cells, "gap_title": line.title}


def left_out(packed: PackedTimeline) -> list[str]:
    """Return a sentence for each line of work that is not drawn whole."""
    return [
        f"{packed_line['title']}: the timeline shows the stretch about the longest gap; "
        f"{packed_line['left_out']:,} intervals before and after it are left out, "
        "and count in every figure."
        for packed_line in packed.document["items"]
        if packed_line["left_out"]
    ]


def colour_keys(packed: PackedTimeline, blocking: str) -> Iterator[Keys]:
    """Yield what the colours of the timeline stand for, those in it: of host, device and gaps.

    `blocking` is the call that the verdict names.
    """
    used_colours: dict[str, set[str]] = {}  # colours by lane
    for packed_line in packed.document["items"]:
        for lane in packed_line["lanes"]:
            used_colours.setdefault(lane["label"], set()).update(lane["colours"])
    phases = {phase: PHASE[phase] for phase in (*ENGINE_PHASES, "step", "other")}
    calls = {
        f"{blocking}: the wait that the verdict names": CALL["blocking"],
        "calls that wait": CALL["waiting"],
        "other calls": CALL["other"],
    }
    yield _used(phases, used_colours.get(HOST, set()))
    yield _used(calls, used_colours.get(CALLS, set()))
    yield [
        (label, OPERATION[label])
        for label in OF_DEVICE
        if label in used_colours and label in OPERATION
    ]
    of_ranks = {
        colour
        for packed_line in packed.document["items"]
        if packed_line.get("ranks")
        for lane in packed_line["lanes"]
        for colour in lane["colours"]
    }
    ranks = {"a rank computes": RANK["computing"], "transfers": RANK["transfer"]}
    yield _used(ranks | {"waits for other ranks": RANK["waiting"]}, of_ranks)
    causes = {f"idle: {cause}": colour for cause, colour in CAUSE.items()}
    causes[f"idle: {NO_DEMAND}"] = WITHOUT_DEMAND
    yield _used(causes, used_colours.get(GAPS, set()))


def _used(colours: Mapping[str, str], used: set[str]) -> Keys:
    return [(label, colour) for label, colour in colours.items() if colour in used]


SECTION = Section("Timeline", fragment_beside(__file__), fill)
