"""What is to be said of the traces of a folder: which is another's again, which rank is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MERGED = "merged-"  # how SGLang calls the profile of all ranks that it writes beside theirs
MOST_RANKS = 1_000_000  # of any recording; what says more is damaged
MOST_MISSING = 8  # ranks named in a sentence
# Names of files: vLLM's `dp0_pp1_tp0_rank1.…` and anyone's `rank1.json` say the rank itself;
# SGLang's `1700-TP-1.trace.json.gz` does where the job has no other axis.
_RANK = re.compile(r"(?<![a-z])rank[-_]?(\d{1,6})(?!\d)", re.IGNORECASE)
_AXIS = re.compile(r"(?<![a-z])(dp|pp|tp|ep)[-_]?(\d{1,6})(?!\d)", re.IGNORECASE)


def without_merged(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the traces of single ranks, and a sentence for each trace that is all of them again.

    A merged profile alone is a trace like others.
    """
    merged = [path for path in paths if path.name.startswith(MERGED)]
    single = [path for path in paths if not path.name.startswith(MERGED)]
    if not single:
        return list(paths), []
    return single, [
        f"{path.name} was left out: it is the profile of the ranks beside it, merged"
        for path in merged
    ]


def with_rank(file: str, distributed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trace says of its rank (`Metadata.distributed`), else what its name says.

    A trace that was cut short often lacks it, since profilers write it behind the events.
    """
    number = None if isinstance(distributed.get("rank"), int) else _named_rank(file)
    return dict(distributed) if number is None else {**distributed, "rank": number}


def _named_rank(file: str) -> int | None:
    """Return the rank that the name of a file says; None where it says none for sure."""
    stated = _RANK.findall(file)
    if len(stated) == 1:
        return int(stated[0])
    axes = _AXIS.findall(file)
    if not stated and len(axes) == 1 and axes[0][0].lower() == "tp":
        return int(axes[0][1])
    return None


def world_size(distributed: Mapping[str, Any]) -> int:
    """Return how many ranks a trace says that its job has; 0 where it does not, or is damaged."""
    size = distributed.get("world_size")
    return size if isinstance(size, int) and 0 < size <= MOST_RANKS else 0


def doubtful_ranks(ranks: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return a sentence for each rank that several files say they are, and for those that none is.

    `ranks` are names of files and what each says of itself (`Metadata.distributed`).
    """
    files_of: dict[int, list[str]] = {}
    job_size = 0
    for file, distributed in ranks:
        number = distributed.get("rank")
        if isinstance(number, int) and world_size(distributed) != 1:
            files_of.setdefault(number, []).append(file)
        job_size = max(job_size, world_size(distributed))
    sentences = [
        f"{' and '.join(files)} both say that they are rank {number}: are they of one recording?"
        for number, files in sorted(files_of.items())
        if len(files) > 1
    ]
    missing = [number for number in range(job_size) if number not in files_of]
    if files_of and missing:
        shown = ", ".join(map(str, missing[:MOST_MISSING]))
        further = len(missing) - MOST_MISSING
        more = f" and {further} more" if further > 0 else ""
        sentences.append(
            f"of {job_size} ranks, {len(files_of)} are here: rank {shown}{more} missing, so "
            "what is waited for may not be seen"
        )
    return sentences
