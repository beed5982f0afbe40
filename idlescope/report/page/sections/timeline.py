"""The timeline that zooms, with the picture that stands for it in print."""

from __future__ import annotations

from collections.abc import Mapping

from idlescope.palette import CAUSE, OPERATION, PHASE
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.page.timeline import PackedTimeline
from idlescope.trace.names.own_engine import ENGINE_PHASES

# Calls that wait for the device have the colour of this phase.
PHASE_KEYS = {"retrieve": "retrieve, waiting"}


def fill(material: Material) -> FragmentData | None:
    """Return titles, keys and what was left out; None where no device was seen."""
    packed = material.timeline
    if packed is None:
        return None
    return {
        "titles": " and ".join(line.title for line in material.page.lines),
        "picture": material.pictures["timeline"],
        "cut": left_out(packed),
        "keys": colour_keys(packed),
    }


def left_out(packed: PackedTimeline) -> list[str]:
    """Return a sentence for each line of work that is not drawn whole."""
    return [
        f"{packed_line['title']}: the timeline shows the stretch about the longest gap; "
        f"{packed_line['left_out']:,} intervals before and after it are left out, "
        "and count in every figure."
        for packed_line in packed.document["items"]
        if packed_line["left_out"]
    ]


def colour_keys(packed: PackedTimeline) -> list[tuple[str, str]]:
    """Return what the colours of the timeline stand for, those that are in it: label, colour."""
    used_colours: dict[str, set[str]] = {}  # colours by lane
    for packed_line in packed.document["items"]:
        for lane_name in packed_line["lanes"]:
            used_colours.setdefault(lane_name["label"], set()).update(lane_name["colours"])
    phases = (*ENGINE_PHASES, "other")
    phase_colours = {
        PHASE_KEYS.get(phase_name, phase_name): PHASE[phase_name] for phase_name in phases
    }
    return [
        *_keys_of_lane("host", phase_colours, used_colours),
        *_keys_of_lane("gaps", CAUSE, used_colours),
        *(
            (lane_name, OPERATION[lane_name])
            for lane_name in used_colours
            if lane_name in OPERATION
        ),
    ]


def _keys_of_lane(
    lane: str, colours: Mapping[str, str], used: Mapping[str, set[str]]
) -> list[tuple[str, str]]:
    used_here = used.get(lane, set())
    return [
        (f"{lane}: {colour_label}", colour)
        for colour_label, colour in colours.items()
        if colour in used_here
    ]


SECTION = Section("Timeline", fragment_beside(__file__), fill)
