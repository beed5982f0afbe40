"""Analyse the files of many ranks side by side, in as many processes as cores and memory allow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Union

import msgspec

from idlescope.analysis.ranks.asked import HEAD_LENGTH, RankBytesError, RankOptions
from idlescope.analysis.ranks.kept import KeptSummaries
from idlescope.children.cores import VARIABLE, usable_cores
from idlescope.children.start import command
from idlescope.errors import TraceError
from idlescope.trace import remote

if TYPE_CHECKING:
    from idlescope.analysis.ranks.rank_file import RankFile

PACKED_RATIO = 12  # text of a trace that one byte of gzip holds, as a rule
MEMORY_PER_BYTE = 4  # of text, while it is analysed
MEMORY_OF_PROCESS = 120 << 20
MEMORY_SHARE = 0.5  # of what is free may be used
LARGE_BYTES = 64 << 20  # of text in all: less is quicker in one process

USUAL_BYTES = 32 << 20  # of a file whose size is not known

Outcome = Union["RankFile", TraceError]
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

    None as soon as some of them may be of one GPU: then their traces are needed together. What was
    kept of an earlier time is not read again. `progress` is called with the number of files that
    are done. Files behind URLs (`remote_sizes`: their bytes) are each fetched by the process that
    reads it.
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
        sizes = [text_bytes(path, remote_sizes) for path in paths]
        with closing(_outcomes(paths, sizes, missing, options, kept)) as found_now:
            for row, outcome in found_now:
                outcomes[row] = outcome
                if progress is not None:
                    progress(len(outcomes))
                if _share_a_gpu(outcomes):
                    return None
        kept.tidy()
    return [outcomes[row] for row in range(len(paths))]


def _share_a_gpu(outcomes: Mapping[int, Outcome]) -> bool:
    """Return whether some of the files that could be read may be of one GPU."""
    if not outcomes:
        return False
    from idlescope.analysis.ranks.ranks_analysis import may_share_a_gpu

    found = outcomes.values()
    return may_share_a_gpu([file for file in found if not isinstance(file, TraceError)])


def _outcomes(
    paths: Sequence[Path],
    sizes: Sequence[int],
    rows: Sequence[int],
    options: RankOptions,
    kept: KeptSummaries,
) -> Generator[tuple[int, Outcome]]:
    """Yield what some of the files give, by row; closed early, what is under way is given up."""
    with ExitStack() as stack:
        workers = _workers([sizes[row] for row in rows])
        cores_of_each = max(1, usable_cores() // workers)
        children = [
            stack.enter_context(_Child(options, kept, cores_of_each))
            for _ in range(workers)
        ]
        pool = stack.enter_context(_threads(children))
        idle_children: SimpleQueue[_Child] = SimpleQueue()
        for child in children:
            idle_children.put(child)

        def ask(path: Path) -> Outcome:
            child = idle_children.get()
            try:
                return child.ask(path)
            finally:
                idle_children.put(child)

        # The largest first: no core is left with one of them at the end.
        largest_first = sorted(rows, key=lambda row: -sizes[row])
        answers = pool.map(ask, (paths[row] for row in largest_first))
        # Imported while the processes start: their answers need it.
        import_module("idlescope.analysis.ranks.ranks_analysis")
        yield from zip(largest_first, answers, strict=True)


@contextmanager
def _threads(children: Sequence[_Child]) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread for each child; where the block fails, nothing that they do is waited for."""
    with ThreadPoolExecutor(len(children)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.end()
            raise


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


class _Child:
    """A process that analyses one file after the other (child.py), on so many cores."""

    def __init__(self, options: RankOptions, kept: KeptSummaries, cores: int = 1) -> None:
        self._kept = kept
        self._cores = cores
        self._options = msgspec.json.encode(options).decode()
        self._has_ended = False
        self._starting = Lock()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module, no shell
            command("idlescope.analysis.ranks.child", self._options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: str(self._cores)},
        )

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process, whatever it does."""
        self.end()
        self._close()

    def end(self) -> None:
        """Kill the process, also while another thread waits for its answer; none follows it."""
        with self._starting:
            self._has_ended = True
            self._process.kill()

    def _start_again(self) -> None:
        self._process.kill()
        self._close()
        with self._starting:
            if not self._has_ended:
                self._process = self._start()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what it was still to be told
                    stream.close()
        self._process.wait()

    def ask(self, path: Path) -> Outcome:
        """Return what a file gives; a process that ends is an error of that file alone."""
        from idlescope.analysis.ranks.rank_file import unpacked

        try:
            head, columns = self._answer(path)
            outcome = unpacked(head, columns)
        except (OSError, RankBytesError) as error:
            self._start_again()
            shown = remote.shown(path)
            return TraceError(f"{shown} could not be analysed: its process ended ({error})")
        if isinstance(outcome, str):
            return TraceError(outcome)
        self._kept.keep(path, head, columns)
        return outcome

    def _answer(self, path: Path) -> tuple[bytes, bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        place = remote.url_of(path) or str(path.resolve())
        stdin.write(msgspec.json.encode(place) + b"\n")
        stdin.flush()
        lengths = stdout.read(HEAD_LENGTH.size)
        if len(lengths) < HEAD_LENGTH.size:
            raise RankBytesError("it gave no answer")
        head_length, columns_length = HEAD_LENGTH.unpack(lengths)
        return stdout.read(head_length), stdout.read(columns_length)
