"""The few of many ranks that a report shows in detail: only their files are read once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

from idlescope.analysis.analyze import NOT_JUDGED, judged
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.child import analyse
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.of_trace import with_ranks
from idlescope.analysis.ranks.ranks_analysis import RanksAnalysis, driver_of
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.verdict.remedy import with_remedy
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.ranks_folder import Rank, labelled, merge

MOST_DETAILED = 8  # ranks whose devices are all shown in detail


def rows_in_detail(group: Group) -> list[int]:
    """Return the rows of those ranks that tell the story of many, in order.

    That are the one that the others wait for, the one that waits longest, the one that idles most.
    """
    waits_longest = max(range(len(group.ranks)), key=group.waiting_pct.__getitem__)
    idlest = max(group.ranks, key=lambda rank: rank.idle_pct)
    return sorted({group.driver.row, group.ranks[waits_longest].row, idlest.row})


def in_detail(found: RanksAnalysis, options: RankOptions) -> Analysis:
    """Return the analysis of a folder of ranks with the results of those `rows_in_detail` only.

    Raises TraceError where a file cannot be read any more.
    """
    rows = rows_in_detail(found.group)
    files = _files(found, rows)
    trace = _together(
        Path(found.source["path"]), [found.paths[row] for row in files], options
    )
    analysis = analyse(trace, options)
    # Which rank each of their devices is.
    first_rows = _first_rows(found)
    read_rows = [
        row for file in files for row in range(first_rows[file], first_rows[file + 1])
    ]
    results = dict(zip(read_rows, analysis.results, strict=True))
    chosen = [results[row] for row in rows]
    return replace(
        analysis,
        source=found.source,
        results=_with_verdicts(chosen, rows, found.group),
        warnings=found.warnings,
        group=found.group,
    )


def _files(found: RanksAnalysis, rows: Sequence[int]) -> list[int]:
    """Return which files are needed: of some ranks, and of what is taken from others.

    The group's clock is that of the first file; a rank whose own waits tell nothing has its
    batching from the first rank whose waits do.
    """
    ranks = found.group.ranks
    telling = [
        rank for rank in ranks if rank.batching != BatchingKind.UNKNOWN and not rank.driven
    ]
    wanted = {0, *rows}
    for rank in ranks:
        if rank.driven and rank.row in rows:
            driver = driver_of(rank, telling)
            wanted |= set() if driver is None else {driver.row}

    rows_of_files = pairwise(_first_rows(found))
    return [
        file
        for file, (first, after) in enumerate(rows_of_files)
        if not wanted.isdisjoint(range(first, after))
    ]


def _first_rows(found: RanksAnalysis) -> list[int]:
    """Return the row of the first device of each file, and how many there are in all."""
    return list(accumulate((len(file.ranks) for file in found.files), initial=0))


def _together(folder: Path, paths: Sequence[Path], options: RankOptions) -> Trace:
    """Return some files of a folder as one trace; one file's devices are called by its rank."""
    ranks = [Rank.of(path, open_trace(path, frames=options.frames)) for path in paths]
    if len(ranks) == 1:
        ranks = [Rank(ranks[0].path, labelled(ranks[0]))]
    return merge(folder, ranks)


def _with_verdicts(
    results: Sequence[DeviceResult], rows: Sequence[int], group: Group
) -> tuple[DeviceResult, ...]:
    """Return results with their verdicts among all ranks, not among the few that were read."""
    verdicts = [NOT_JUDGED] * len(group.ranks)
    for row, result in zip(rows, results, strict=True):
        verdicts[row] = with_remedy(judged(result), result.prediction)
    told = with_ranks(group, verdicts)
    return tuple(
        replace(result, verdict=told[row])
        for row, result in zip(rows, results, strict=True)
    )
