"""What a reader had to repair or leave out, and which figures that could change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# How profilers speak of records that they lost. nsys 2023.4 says, for instance, "CUPTI dropped 5 records. Some CUPTI
# events might be missing.", "Not all NVTX events might have been collected." and "5 GPU events were discarded as their
# timestamps could not be converted". "No NVTX events collected." is not among them: it says that there were none.
LOSS = re.compile(
    r"\b(lost|drop\w*|discarded|missed|missing|incomplete|truncated|overflow\w*|exceed\w*|not all|out of memory)\b"
    r"|not (be |been )?collected",
    re.IGNORECASE,
)

# What a lost record was, where that can be told: each kind can change the figures named beside it.
KINDS = ("operations", "calls", "ranges", "unknown")


@dataclass
class Damage:
    """Counts of repairs and drops, each with the place of the first; becomes `Trace.meta["warnings"]` and `["lost"]`.

    A place is what the format can name: a byte offset (of the unpacked text of a gzip file), or a table's row.
    """

    notes: dict[str, tuple[int, str]] = field(
        default_factory=dict
    )  # what was done -> how often, where first
    lost: dict[str, int] = field(default_factory=dict)  # kind of record -> how many were left out
    truncated: bool = False  # an unknown number of records is missing

    def repaired(self, what: str, where: str, count: int = 1) -> None:
        """Count records that were read after a repair, which lost nothing."""
        if count:
            before, first = self.notes.get(what, (0, where))
            self.notes[what] = before + count, first

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
        for what, (count, first) in other.notes.items():
            self.repaired(what, first, count)
        for kind, count in other.lost.items():
            self.lost[kind] = self.lost.get(kind, 0) + count
        self.truncated |= other.truncated

    def warnings(self) -> list[str]:
        """Return one sentence for each thing that was done."""
        return [
            f"{what}: {count:,}, the first at {where}"
            for what, (count, where) in self.notes.items()
        ]

    def to_meta(self) -> dict[str, Any]:
        """Return the entries of `Trace.meta` that say what was repaired and lost; none for a sound file."""
        meta: dict[str, Any] = {}
        if self.notes:
            meta["warnings"] = self.warnings()
        if self.lost:
            meta["lost"] = dict(self.lost)
        if self.truncated:
            meta["truncated"] = True
        return meta


def uncertain(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the figures that records lost from a trace could change; none for a sound one."""
    lost = meta.get("lost") or {}
    everything = meta.get("truncated") or lost.get("unknown") or lost.get("operations")
    names: list[str] = []
    if everything:
        names += [
            "operations",
            "window_ns",
            "active_ns",
            "compute_ns",
            "copy_only_ns",
            "idle_ns",
            "gaps",
            "streams",
        ]
    if everything or lost.get("calls"):
        names += ["cause_ns"]
    if everything or lost.get("calls") or lost.get("ranges"):
        names += ["host_ns", "steps"]
    return tuple(names)
