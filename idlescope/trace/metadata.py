"""What a recording says of itself beside its tables: whence it is, what was lost, what was run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import msgspec

# Kinds of records that a reader had to leave out: each can change the figures that
# `damage.uncertain` names.
KINDS_LOST = ("operations", "calls", "ranges", "unknown")

# entries that say what was lost: where they cannot be read, nobody knows
SAYING_LOSSES = frozenset({"lost", "truncated", "dropped"})
WRONG_TYPE = "what the file says of itself as {key} is of another type and was left out"

NotNegative = Annotated[int, msgspec.Meta(ge=0)]

EARLIEST_EPOCH_NS, LATEST_EPOCH_NS = -(2**60), 2**62  # the years 1933 and 2116


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the code reads of a recording, typed.

    In files, each entry stands under its name, or the one given beside it.
    """

    format: str = "memory"
    path: str = ""
    events: int = 0  # records read; 0: not counted

    # what the reader repaired and left out, and what the profiler itself said that it lost
    warnings: tuple[str, ...] = ()
    lost: dict[str, NotNegative] = {}  # kind (KINDS_LOST) -> records
    truncated: bool = False  # an unknown number of records is missing at the end
    dropped: tuple[str, ...] = ()
    profiler_errors: tuple[
        str, ...
    ] = ()  # its messages that it could not record the device

    # ranks and clocks; times are ns since 1970
    base_time_ns: int | None = msgspec.field(default=None, name="baseTimeNanoseconds")
    session_start_ns: int | None = msgspec.field(
        default=None, name="session_start_epoch_ns"
    )
    of_several_files: bool = False  # a folder's ranks, put together
    clocks_apart: bool = False  # of such ranks the clocks cannot be brought together
    distributed: dict[str, Any] = msgspec.field(
        default_factory=dict, name="distributedInfo"
    )

    # what was run, where idlescope ran it
    measured: bool | None = None  # False: modelled; None: not said
    mode: str = ""  # "sync" or "async"
    model: str = ""
    gpu: str = ""  # a key of hardware.gpus.GPUS
    rows: int = 0  # most requests that a step may have; 0: not said

    extra: dict[str, Any] = {}  # JSON values that are only passed on to the next file

    @property
    def epoch_ns(self) -> int | None:
        """Return the time that the trace's 0 stands for, ns since 1970; None if not known.

        What is no time of this century or the last is not known: the clocks of ranks are brought
        together by differences of such times, which have to fit int64.
        """
        for time_ns in (self.base_time_ns, self.session_start_ns):
            if time_ns is not None and EARLIEST_EPOCH_NS <= time_ns <= LATEST_EPOCH_NS:
                return time_ns
        return None

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Metadata:
        """Return the metadata in a JSON object.

        Known entries that are not of their type are left out, which a warning says; where they say
        what was lost, an unknown number of records is. Unknown entries are `extra`.
        """
        fields = _fields()
        known: dict[str, Any] = {}
        wrong: list[str] = []
        for key, field in fields.items():
            if key in entries:
                try:
                    known[field.name] = msgspec.convert(entries[key], field.type)
                except ValueError:  # of another type, or no text
                    wrong.append(key)
        known["lost"] = _by_known_kind(known.get("lost", {}))
        if wrong:
            warnings = (WRONG_TYPE.format(key=key) for key in wrong)
            known["warnings"] = (*known.get("warnings", ()), *warnings)
        if SAYING_LOSSES.intersection(wrong):
            known["truncated"] = True
        extra = {key: value for key, value in entries.items() if key not in fields}
        return cls(**known, extra=extra)

    def with_losses_of(self, earlier: Metadata) -> Metadata:
        """Return the metadata with what was lost before, when the file was made, too."""
        kinds = {**earlier.lost, **self.lost}
        lost = {kind: earlier.lost.get(kind, 0) + self.lost.get(kind, 0) for kind in kinds}
        return self.replace(
            lost=lost,
            warnings=tuple(dict.fromkeys((*earlier.warnings, *self.warnings))),
            dropped=tuple(dict.fromkeys((*earlier.dropped, *self.dropped))),
            truncated=earlier.truncated or self.truncated,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of everything that is said; its inverse is `from_json`."""
        entries: dict[str, Any] = {"format": self.format} | msgspec.to_builtins(self)
        entries.pop("extra", None)
        return entries | self.extra

    def replace(self, **changes: Any) -> Metadata:
        """Return the metadata with some of its fields changed."""
        return msgspec.structs.replace(self, **changes)


def _by_known_kind(lost: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of lost records by KINDS_LOST; other kinds may be any of them."""
    of_kind: dict[str, int] = {}
    for kind, number in lost.items():
        known_kind = kind if kind in KINDS_LOST else "unknown"
        of_kind[known_kind] = of_kind.get(known_kind, 0) + number
    return of_kind


@cache  # resolving their types takes 2 ms
def _fields() -> dict[str, msgspec.structs.FieldInfo]:
    """Return the entries that are typed, by their names in files."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(Metadata)}
    del fields["extra"]
    return fields
