"""A folder may hold several recordings of one job, or a trace twice: one recording is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from idlescope.trace.ranks_said import world_size

NAMED = 2  # files in a sentence


class RecordedFile(NamedTuple):
    """What of a rank's trace tells it from another of the same rank."""

    file: str
    distributed: Mapping[str, Any]
    events: int
    start_ns: int | None  # of its first operation, since 1970; None: not known
    end_ns: int | None

    @property
    def rank(self) -> int | None:
        """Return which rank of several it is of; None where it does not say."""
        number = self.distributed.get("rank")
        is_one_of_several = isinstance(number, int) and world_size(self.distributed) != 1
        return number if is_one_of_several else None


class LeftOut(NamedTuple):
    """Files that are not looked at, and why."""

    rows: set[int]
    sentences: list[str]


def left_out(files: Sequence[RecordedFile]) -> LeftOut:
    """Return which files are another's trace again, or of another recording than the others.

    Of files that do not overlap in time, and of which some are of the same rank, those of one
    recording are kept: that of most ranks, of equal ones the newest.
    """
    copies, sentences = _copies(files)
    others = [row for row in range(len(files)) if row not in copies]
    recordings = _by_time(files, others)
    if len(recordings) < 2 or not _share_ranks(files, recordings):
        return LeftOut(copies, sentences)
    kept = max(recordings, key=lambda rows: (len(rows), _start(files[rows[0]])))
    kept_start = _start(files[kept[0]])
    for rows in recordings:
        if rows is kept:
            continue
        names = [files[row].file for row in sorted(rows)]
        earlier_s = (kept_start - _start(files[rows[0]])) / 1e9
        sentences.append(_sentence(names, earlier_s))
    of_others = set(others) - set(kept)
    return LeftOut(copies | of_others, sentences)


def _start(file: RecordedFile) -> int:
    return file.start_ns or 0


def _copies(files: Sequence[RecordedFile]) -> tuple[set[int], list[str]]:
    """Return the rows of files that are an earlier one's trace again, and sentences."""
    seen: dict[tuple[int | None, ...], str] = {}
    copies: set[int] = set()
    sentences = []
    for row, file in enumerate(files):
        if file.rank is None or file.start_ns is None:
            continue
        told_by = (file.rank, file.events, file.start_ns, file.end_ns)
        original = seen.setdefault(told_by, file.file)
        if original != file.file:
            copies.add(row)
            sentences.append(
                f"{file.file} was left out: it is the same trace as {original}"
            )
    return copies, sentences


def _by_time(files: Sequence[RecordedFile], rows: Sequence[int]) -> list[list[int]]:
    """Return the rows of files that overlap in time, together; all where times are not known."""
    if any(files[row].start_ns is None or files[row].end_ns is None for row in rows):
        return [list(rows)]
    recordings: list[list[int]] = []
    latest_end = 0
    for row in sorted(rows, key=lambda row: _start(files[row])):
        if not recordings or _start(files[row]) > latest_end:
            recordings.append([])
        recordings[-1].append(row)
        latest_end = max(latest_end, files[row].end_ns or 0)
    return recordings


def _share_ranks(
    files: Sequence[RecordedFile], recordings: Sequence[Sequence[int]]
) -> bool:
    """Return whether a rank has files in several recordings."""
    ranks = [{files[row].rank for row in rows} - {None} for rows in recordings]
    return len(set().union(*ranks)) < sum(map(len, ranks))


def _sentence(names: Sequence[str], earlier_s: float) -> str:
    shown = " and ".join(names[:NAMED])
    if len(names) > NAMED:
        shown = f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    were = "was" if len(names) == 1 else "were"
    when = f"{abs(earlier_s):,.1f} s {'earlier' if earlier_s > 0 else 'later'}"
    return (
        f"{shown} {were} left out: of another recording of the same ranks, {when}; give that one "
        "by a pattern of its files"
    )
