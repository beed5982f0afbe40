"""What the files of a folder of ranks, analysed apart, say together: one story of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from idlescope import __version__
from idlescope.analysis.document import SCHEMA, Document
from idlescope.analysis.idle.shared_gpu import may_be_one
from idlescope.analysis.ranks.documents import group_entry
from idlescope.analysis.ranks.group import Group, group
from idlescope.analysis.ranks.of_trace import rank_labels
from idlescope.analysis.ranks.rank import RankSummary
from idlescope.analysis.ranks.rank_file import RankFile
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.errors import TraceError
from idlescope.trace import ranks_recordings, ranks_said, remote

IN_STEP = (
    0.1  # ranks of one job have as many steps, but for those at the ends of the recording
)


class RanksAnalysis(Struct, frozen=True):
    """What the files of a folder of ranks gave, without their traces."""

    source: dict[str, Any]
    engine: str
    files: tuple[RankFile, ...]
    paths: tuple[Path, ...]  # of the files
    group: Group
    warnings: tuple[str, ...]

    def document(self) -> Document:
        """Return what `idlescope analyze --json` prints, typed."""
        return Document(
            schema=SCHEMA,
            source=self.source,
            engine=self.engine or None,
            devices=[device for file in self.files for device in file.devices],
            steps=[step for file in self.files for step in file.steps],
            phases=[phases for file in self.files for phases in file.phases],
            warnings=list(self.warnings),
            ranks=group_entry(self.group),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `idlescope analyze --json` prints."""
        return dict(msgspec.to_builtins(self.document()))


def put_together(
    folder: Path, outcomes: Mapping[Path, RankFile | TraceError], left_out: Sequence[str]
) -> RanksAnalysis | None:
    """Return the analysis of a folder of ranks, of what each of its files gave.

    None where their devices are no ranks of one job. `left_out` says which files were not analysed.
    Raises TraceError where no file could be read.
    """
    read: list[tuple[Path, RankFile]] = []
    errors: dict[Path, TraceError] = {}
    for path, outcome in outcomes.items():
        if isinstance(outcome, RankFile):
            read.append((path, outcome))
        else:
            errors[path] = outcome
    if not read:
        raise next(iter(errors.values()))
    again = ranks_recordings.left_out([file.recorded for _, file in read])
    read = [pair for row, pair in enumerate(read) if row not in again.rows]
    files = [file for _, file in read]
    gpus = [gpu for file in files for gpu in file.gpus]
    if len(gpus) < 2 or may_be_one(gpus):
        return None
    unread = [_unread(remote.shown(path), error) for path, error in errors.items()]
    said = [(file.file, file.distributed) for file in files]
    doubtful = ranks_said.doubtful_ranks(said)
    warnings = [f"{file.file}: {text}" for file in files for text in file.warnings]
    together, one_clock = _on_one_clock(files)
    return RanksAnalysis(
        source={
            "path": remote.shown(folder),
            "format": ", ".join(dict.fromkeys(file.format for file in files)),
            "tool_version": __version__,
            "events": sum(file.events for file in files),
        },
        engine=next((file.engine for file in files if file.engine), ""),
        files=tuple(files),
        paths=tuple(path for path, _ in read),
        group=group(together, one_clock),
        warnings=(*left_out, *unread, *again.sentences, *doubtful, *warnings),
    )


def _unread(shown: str, error: TraceError) -> str:
    """Return why a file was left out that cannot be read."""
    reason = str(error).removeprefix(f"{shown} ")
    return f"{Path(shown).name} was left out: {reason}"


def may_share_a_gpu(files: Sequence[RankFile]) -> bool:
    """Return whether two devices of one recording may be one GPU.

    That some of a folder's files tell so is not undone by the others.
    """
    again = ranks_recordings.left_out([file.recorded for file in files])
    kept = [file for row, file in enumerate(files) if row not in again.rows]
    return may_be_one([gpu for file in kept for gpu in file.gpus])


def _on_one_clock(files: Sequence[RankFile]) -> tuple[list[RankSummary], bool]:
    """Return all ranks in order, their times on the clock of the first; whether there is one."""
    epochs = [file.epoch_ns for file in files if file.epoch_ns is not None]
    one_clock = len(epochs) == len(files)
    numbers_are_stated = all(
        isinstance(file.distributed.get("rank"), int) for file in files
    )
    labels = rank_labels([gpu for file in files for gpu in file.gpus])
    ranks: list[RankSummary] = []
    for file in files:
        shift = (file.epoch_ns or 0) - epochs[0] if one_clock else 0
        for rank in file.ranks:
            row = len(ranks)
            shifted = replace(
                rank,
                label=labels[row],
                row=row,
                times=rank.times.shifted(shift),
            )
            ranks.append(shifted if numbers_are_stated else _numbered(shifted, row))
    ranks.sort(key=lambda rank: rank.place.number)
    return _driven(ranks), one_clock


def _numbered(rank: RankSummary, number: int) -> RankSummary:
    return replace(rank, place=replace(rank.place, number=number))


def _driven(ranks: list[RankSummary]) -> list[RankSummary]:
    """Return the ranks, those whose own waits tell nothing with the batching of their driver."""
    drivers = [rank for rank in ranks if rank.batching != BatchingKind.UNKNOWN]
    return [_with_driver(rank, drivers) for rank in ranks]


def _with_driver(rank: RankSummary, drivers: Sequence[RankSummary]) -> RankSummary:
    if rank.batching != BatchingKind.UNKNOWN or not rank.steps:
        return rank
    driver = driver_of(rank, drivers)
    return rank if driver is None else replace(rank, batching=driver.batching, driven=True)


def driver_of(rank: RankSummary, drivers: Sequence[RankSummary]) -> RankSummary | None:
    """Return the first of some ranks that steps together with one; None where none does."""
    for driver in drivers:
        if abs(driver.steps - rank.steps) <= IN_STEP * rank.steps:
            return driver
    return None
