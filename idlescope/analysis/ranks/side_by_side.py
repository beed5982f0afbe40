"""Analyse the files of many ranks side by side, in as many processes as cores and memory allow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue

from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.kept import KeptSummaries
from idlescope.analysis.ranks.rank_process import (
    Outcome,
    RankProcess,
    import_for_copies,
)
from idlescope.children.cores import usable_cores
from idlescope.errors import TraceError
from idlescope.trace import remote

PACKED_RATIO = 12  # text of a trace that one byte of gzip holds, as a rule
MEMORY_PER_BYTE = 4  # of text, while it is analysed
MEMORY_OF_PROCESS = 120 << 20
MEMORY_SHARE = 0.5  # of what is free may be used
LARGE_BYTES = 64 << 20  # of text in all: less is quicker in one process

USUAL_BYTES = 32 << 20  # of a file whose size is not known

Sizes = Mapping[Path, int]
NO_SIZES: Sizes = {}


def text_bytes(path: Path, remote_sizes: Sizes = NO_SIZES) -> int:
    """Return about how much text a trace holds; 0 for a folder.

    `remote_sizes` are those of files behind URLs, where they are said.
    """
    if remote.url_of(path) is not None:
        size = remote_sizes.get(path, USUAL_BYTES)
    else:
        size = path.stat().st_size if path.is_file() else 0
    return size * PACKED_RATIO if Path(remote.shown(path)).suffix == ".gz" else size


def is_worth_it(paths: Sequence[Path], remote_sizes: Sizes = NO_SIZES) -> bool:
    """Return whether files are so many, or so large, that processes of their own pay."""
    whole_bytes = sum(text_bytes(path, remote_sizes) for path in paths)
    return len(paths) > 1 and whole_bytes >= LARGE_BYTES


def analyse_files(
    paths: Sequence[Path],
    options: RankOptions,
    progress: Callable[[int], None] | None = None,
    remote_sizes: Sizes = NO_SIZES,
) -> list[Outcome] | None:
    """Return what each file gives, in order; the error of those that cannot be read.

    None where some of them may be of one GPU, as soon as that is seen: then their traces are needed
    together. What was kept of an earlier time is not read again. `progress` is called with the
    number of files that are done, first when processes have started. Files behind URLs
    (`remote_sizes`: their bytes) are each fetched by the process that reads it.
    """
    kept = KeptSummaries(options)
    outcomes: dict[int, Outcome] = {}
    missing = []
    for row, path in enumerate(paths):
        found = kept.find(path)
        if found is None:
            missing.append(row)
        else:
            outcomes[row] = found
    if _share_a_gpu(outcomes):
        return None
    if missing:
        count = progress or _uncounted
        sizes = [text_bytes(path, remote_sizes) for path in paths]
        with _asked(paths, sizes, missing, options, kept) as answers:
            count(len(outcomes))
            for row, outcome in answers:
                outcomes[row] = outcome
                count(len(outcomes))
                if _is_time_to_compare(len(outcomes)) and _share_a_gpu(outcomes):
                    return None
        kept.tidy()
    return [outcomes[row] for row in range(len(paths))]


def _uncounted(number: int) -> None:
    """Count for nobody."""


def _is_time_to_compare(files: int) -> bool:
    """Return whether all files so far are compared: whenever there are twice as many.

    After each file that would take time that grows with the square of their number.
    """
    return files.bit_count() == 1


def _share_a_gpu(outcomes: Mapping[int, Outcome]) -> bool:
    """Return whether some of the files that could be read may be of one GPU."""
    if not outcomes:
        return False
    from idlescope.analysis.ranks.ranks_analysis import may_share_a_gpu

    found = outcomes.values()
    return may_share_a_gpu([file for file in found if not isinstance(file, TraceError)])


@contextmanager
def _asked(
    paths: Sequence[Path],
    sizes: Sequence[int],
    rows: Sequence[int],
    options: RankOptions,
    kept: KeptSummaries,
) -> Iterator[Iterator[tuple[int, Outcome]]]:
    """Give what some of the files give, by row; what is under way as the block ends is given up."""
    # The largest first: no core is left with one of them at the end.
    largest_first = sorted(rows, key=lambda row: -sizes[row])
    import_for_copies(paths[largest_first[0]])
    with ExitStack() as stack:
        workers = _workers([sizes[row] for row in rows])
        cores_of_each = max(1, usable_cores() // workers)
        children = [
            stack.enter_context(RankProcess(options, kept, cores_of_each))
            for _ in range(workers)
        ]
        pool = stack.enter_context(_threads(children))
        idle_children: SimpleQueue[RankProcess] = SimpleQueue()
        for child in children:
            idle_children.put(child)

        def ask(path: Path) -> Outcome:
            child = idle_children.get()
            try:
                return child.ask(path)
            finally:
                idle_children.put(child)

        answers = pool.map(ask, (paths[row] for row in largest_first))
        # Imported while the processes are at work: their answers need it.
        import_module("idlescope.analysis.ranks.ranks_analysis")
        yield zip(largest_first, answers, strict=True)


@contextmanager
def _threads(children: Sequence[RankProcess]) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread for each child; nothing that they do is waited for as the block ends."""
    with ThreadPoolExecutor(len(children)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.end()


def _workers(sizes: Sequence[int]) -> int:
    """Return how many processes there are to be: no more than cores, files, or memory allow."""
    each_bytes = MEMORY_OF_PROCESS + MEMORY_PER_BYTE * max(sizes)
    by_memory = int(MEMORY_SHARE * _free_memory() // each_bytes)
    return max(1, min(usable_cores(), len(sizes), by_memory))


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a system that says it
        return 4 << 30
