"""What a reader had to repair or leave out, and which figures that could change."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from idlescope.trace.metadata import KINDS_LOST, Metadata

# How profilers speak of records that they lost. nsys 2023.4 says, for instance, "CUPTI dropped 5
# records. Some CUPTI events might be missing.", "Not all NVTX events might have been collected."
# and "5 GPU events were discarded as their timestamps could not be converted". "No NVTX events
# collected." is not among them: it says that there were none.
LOSS = re.compile(
    r"\b(lost|drop\w*|discarded|missed|missing|incomplete|truncated|overflow\w*|exceed\w*"
    r"|not all|out of memory)\b"
    r"|not (be |been )?collected",
    re.IGNORECASE,
)

# How profilers say that they cannot record the device: "function cbapi->getCuptiStatus() failed
# with error CUPTI_ERROR_NOT_INITIALIZED (15)", "CUPTI initialization failed - CUDA profiler
# activities will be missing" (Kineto, 2025), "CUDA profiling might have not been started
# correctly." (nsys).
NO_DEVICE_RECORDS = re.compile(
    r"CUPTI_ERROR_|CUPTI initialization failed|CUDA (profiling|tracing) .*not (been )?started",
    re.IGNORECASE,
)

# What a lost record was, where that can be told: each kind can change the figures named beside it.
KINDS = KINDS_LOST

# Figures of a device, by the names that `analyze --json` gives them.
OPERATION_FIGURES = (
    "operations",
    "window_ns",
    "active_ns",
    "compute_ns",
    "copy_only_ns",
    "idle_ns",
    "gaps",
    "streams",
)
CALL_FIGURES = ("cause_ns",)
HOST_FIGURES = ("host_ns", "steps")


class Note(NamedTuple):
    """How often something was done, and where first."""

    times: int
    first_place: str


@dataclass
class Damage:
    """Counts of repairs and drops, each with the place of the first.

    They become `warnings` and `lost` of `Trace.meta`. A place is what the format can name: a byte
    offset (of the unpacked text of a gzip file), or a table's row.
    """

    notes: dict[str, Note] = field(default_factory=dict)  # by what was done
    lost: dict[str, int] = field(default_factory=dict)  # records left out, by kind (KINDS)
    truncated: bool = False  # an unknown number of records is missing

    def repaired(self, what: str, where: str, count: int = 1) -> None:
        """Count records that were read after a repair, which lost nothing."""
        if count:
            earlier = self.notes.get(what, Note(0, where))
            self.notes[what] = Note(earlier.times + count, earlier.first_place)

    def dropped(self, what: str, where: str, kind: str, count: int = 1) -> None:
        """Count records of a kind (one of KINDS) that were left out."""
        assert kind in KINDS
        self.repaired(what, where, count)
        if count:
            self.lost[kind] = self.lost.get(kind, 0) + count

    def cut(self, what: str, where: str) -> None:
        """Note that the records end early: nobody knows how many are missing."""
        self.repaired(what, where)
        self.truncated = True

    def merge(self, other: Damage) -> None:
        """Add what another part of the same file had."""
        for damage_kind, damage_note in other.notes.items():
            self.repaired(damage_kind, damage_note.first_place, damage_note.times)
        for record_kind, lost_count in other.lost.items():
            self.lost[record_kind] = self.lost.get(record_kind, 0) + lost_count
        self.truncated |= other.truncated

    def warnings(self) -> list[str]:
        """Return one sentence for each thing that was done."""
        return [
            f"{damage_kind}: {damage_note.times:,}, the first at {damage_note.first_place}"
            for damage_kind, damage_note in self.notes.items()
        ]

    def to_meta(self) -> dict[str, Any]:
        """Return the entries of `Trace.meta` that say what was repaired and lost.

        There are none for a sound file.
        """
        meta_entries: dict[str, Any] = {}
        if self.notes:
            meta_entries["warnings"] = self.warnings()
        if self.lost:
            meta_entries["lost"] = dict(self.lost)
        if self.truncated:
            meta_entries["truncated"] = True
        return meta_entries


def uncertain(meta: Metadata) -> tuple[str, ...]:
    """Return the names of the figures that records lost from a trace could change.

    `meta` is `Trace.meta`. There are none for a sound trace.
    """
    lost_records = meta.lost
    any_figure = (
        meta.truncated or lost_records.get("unknown") or lost_records.get("operations")
    )
    figures: tuple[str, ...] = ()
    if any_figure:
        figures += OPERATION_FIGURES
    if any_figure or lost_records.get("calls"):
        figures += CALL_FIGURES
    if any_figure or lost_records.get("calls") or lost_records.get("ranges"):
        figures += HOST_FIGURES
    return figures
