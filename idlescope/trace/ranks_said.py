"""What is to be said of the traces of a folder: which is another's again, which rank is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MERGED = "merged-"  # how SGLang calls the profile of all ranks that it writes beside theirs
MOST_RANKS = 1_000_000  # of any recording; what says more is damaged
MOST_MISSING = 8  # ranks named in a sentence


def without_merged(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the traces of single ranks, and a sentence for each trace that is all of them again.

    A merged profile alone is a trace like others.
    """
    merged = [path for path in paths if path.name.startswith(MERGED)]
    single = [path for path in paths if path not in merged]
    if not single:
        return list(paths), []
    return single, [
        f"{path.name} was left out: it is the profile of the ranks beside it, merged"
        for path in merged
    ]


def doubtful_ranks(ranks: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return a sentence for each rank that several files say they are, and for those that none is.

    `ranks` are names of files and what each says of itself (`Metadata.distributed`).
    """
    files_of: dict[int, list[str]] = {}
    world_size = 0
    for file, distributed in ranks:
        number, size = distributed.get("rank"), distributed.get("world_size")
        if isinstance(number, int):
            files_of.setdefault(number, []).append(file)
        if isinstance(size, int) and size <= MOST_RANKS:  # else it is damaged
            world_size = max(world_size, size)
    sentences = [
        f"{' and '.join(files)} both say that they are rank {number}: are they of one recording?"
        for number, files in sorted(files_of.items())
        if len(files) > 1
    ]
    missing = [number for number in range(world_size) if number not in files_of]
    if files_of and missing:
        shown = ", ".join(map(str, missing[:MOST_MISSING]))
        further = len(missing) - MOST_MISSING
        more = f" and {further} more" if further > 0 else ""
        sentences.append(
            f"of {world_size} ranks, {len(files_of)} are here: rank {shown}{more} missing, so "
            "what is waited for may not be seen"
        )
    return sentences
