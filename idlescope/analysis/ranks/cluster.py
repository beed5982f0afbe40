"""Analyse files of ranks on a Dask cluster: a task for each; retries and memory limits are Dask's.

Workers must have idlescope, and see the files under the same paths or URLs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from idlescope.analysis.ranks.asked import RankBytesError, RankOptions
from idlescope.analysis.ranks.child import analyse_file
from idlescope.analysis.ranks.rank_file import (
    packed,
    packed_error,
    unpacked_whole,
)
from idlescope.analysis.ranks.rank_process import Outcome
from idlescope.errors import ConfigError, IdlescopeError, TraceError
from idlescope.trace import remote

EXTRA = "pip install 'idlescope[cluster]'"
RETRIES = 2  # of a task that fails; a worker that dies costs one
ANSWER_S = 10  # in which a scheduler must answer
_LOCAL = re.compile(r"^local:([1-9]\d{0,2})$")


def packed_file(path: str, options: bytes) -> bytes:
    """Return what a file of a rank gives, or its error, as bytes: what a worker does."""
    try:
        said = msgspec.json.decode(options, type=RankOptions)
        pieces = packed(analyse_file(Path(path), said))
    except IdlescopeError as error:
        pieces = packed_error(str(error))
    return b"".join(pieces)


def analyse_files(
    cluster: str,
    paths: Sequence[Path],
    options: RankOptions,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Return what each file gives, in order; the error of those that cannot be read.

    `cluster` is the address of a scheduler (`tcp://host:8786`), or `local:N` for N processes of
    this machine. `progress` is called with the number of files that are done. Raises ConfigError
    where there is no such cluster, TraceError where it is lost.
    """
    said = msgspec.json.encode(options)
    places = [remote.url_of(path) or str(path.resolve()) for path in paths]
    with _connected(cluster) as client, _lost(cluster):
        futures = [
            client.submit(packed_file, place, said, retries=RETRIES, pure=False)
            for place in places
        ]
        for done, future in enumerate(futures, 1):
            future_ended(future)
            if progress is not None:
                progress(done)
        return [_outcome(path, future) for path, future in zip(paths, futures, strict=True)]


def future_ended(future: Any) -> None:
    """Wait until a task has ended, however it did."""
    from distributed import wait

    wait([future])


def _outcome(path: Path, future: Any) -> Outcome:
    """Return what a task gave; what ended it is an error of its file."""
    from distributed import KilledWorker

    try:
        found = unpacked_whole(future.result())
    except (KilledWorker, RankBytesError, MemoryError) as error:
        name = type(error).__name__
        shown = remote.shown(path)
        return TraceError(f"{shown} could not be analysed: its workers ended ({name})")
    return TraceError(found) if isinstance(found, str) else found


@contextmanager
def _connected(cluster: str) -> Iterator[Any]:
    """Give a client of the cluster."""
    try:
        from distributed import Client, SubprocessCluster
    except ImportError as error:
        raise ConfigError(f"--cluster is for Dask: {EXTRA}") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is said once
    local = _LOCAL.match(cluster)
    if local is not None:
        # by a command each: what `multiprocessing` starts would run this command again
        workers = SubprocessCluster(
            n_workers=int(local[1]),
            threads_per_worker=1,
            worker_kwargs={"dashboard": False},
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
        with workers, Client(workers) as client:
            yield client
        return
    if not re.match(r"^(tcp|tls|ws|wss)://[^/]", cluster):
        raise ConfigError(
            f"--cluster {cluster}: give the address of a Dask scheduler, as in "
            "tcp://host:8786, or local:4 for processes of this machine"
        )
    try:
        connected = Client(cluster, timeout=ANSWER_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {cluster}: start one with `dask scheduler`, and workers "
            f"with `dask worker {cluster}`"
        ) from error
    with connected as client:
        yield client


@contextmanager
def _lost(cluster: str) -> Iterator[None]:
    """Say in one sentence that the cluster was lost."""
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
        raise TraceError(
            f"the Dask cluster at {cluster} was lost before all files were analysed: see what its "
            "scheduler says, and ask again"
        ) from error
