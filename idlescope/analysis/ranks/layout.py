"""How ranks divide into groups that communicate: tensor, pipeline, data and expert parallel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from idlescope.analysis.ranks.matching import KeyedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.names.communication import Collective
from idlescope.trace.ranks_said import world_size
from idlescope.trace.table import Int64

AXES = ("dp", "pp", "tp", "ep")
# Names of files: SGLang's `1700-TP-0-DP-1.trace.json.gz`, vLLM's `dp0_pp1_tp0_rank1.…`.
_TAG = re.compile(r"(?<![a-z])(dp|pp|tp|ep)[-_]?(\d+)(?!\d)", re.IGNORECASE)
SAMPLE = 64  # calls by which it is told who takes part in a collective
SURE_NS = 2_000  # ends so close together are those of one collective
OF_EXPERTS = (Collective.DISPATCH, Collective.COMBINE, Collective.ALL_TO_ALL)

Partition = list[list[int]]  # ranks, as indices, by group


class RankPlace(Struct, frozen=True):
    """What is said of one rank's place in the job."""

    number: int  # in the job; its index where nothing says it
    tags: Mapping[str, int]  # of its file's name: its number along each axis
    groups: Mapping[str, tuple[int, ...]]  # process groups: name, numbers of their ranks
    world_size: int = 0  # how many ranks the job has; 0: not said


def place(number: int, file: str, distributed: Mapping[str, Any]) -> RankPlace:
    """Return the place of a rank, from the name of its file and its own metadata.

    `number` is its number where these do not say it.
    """
    stated = distributed.get("rank")
    is_stated = isinstance(stated, int)
    return RankPlace(
        number=stated if isinstance(stated, int) else number,
        tags=_tags(file),
        groups=_process_groups(distributed),
        world_size=world_size(distributed) if is_stated else 0,
    )


def _tags(file: str) -> dict[str, int]:
    """Return the numbers along axes that the name of a file says."""
    found = _TAG.findall(file)
    return {axis.lower(): int(digits) for axis, digits in found}


def _process_groups(distributed: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the numbers of the ranks of each process group that metadata describes."""
    config = distributed.get("pg_config")
    entries = config if isinstance(config, list) else []
    groups: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        numbers = _numbers(entry)
        if numbers is not None:
            name = str(entry.get("pg_name"))
            groups[name] = numbers
    return groups


def _numbers(entry: Any) -> tuple[int, ...] | None:
    """Return the numbers of ranks in a process group's entry; None where it has none."""
    ranks = entry.get("ranks") if isinstance(entry, dict) else None
    if not isinstance(ranks, list):
        return None
    return tuple(ranks) if all(isinstance(rank, int) for rank in ranks) else None


def absent(places: Sequence[RankPlace]) -> list[int]:
    """Return the numbers of the job's ranks that are none of these; [] where that is not known."""
    here = {place.number for place in places}
    if not places or not all(place.world_size for place in places):
        return []
    job_size = max(place.world_size for place in places)
    return [number for number in range(job_size) if number not in here]


def members(
    keyed: KeyedCalls,
    ranks: Sequence[RankTimeline],
    places: Sequence[RankPlace],
    one_clock: bool,
) -> Partition:
    """Return which ranks make the calls of a key together.

    What the profiler says of a process group counts. Kernels of CUDA graphs say nothing: of the
    groups that names of files and process groups suggest, and of halves, quarters …, those are
    taken whose calls end together, the largest first.
    """
    if keyed.key.group:
        return _stated(keyed, places)
    suggested = _suggested(keyed, places)
    if not one_clock or len(suggested) == 1:
        return suggested[0]
    distances = [_apart(keyed, ranks, partition) for partition in suggested]
    allowed = 3 * min(distances) + SURE_NS
    is_near = [distance <= allowed for distance in distances]
    return suggested[is_near.index(True)]


def _stated(keyed: KeyedCalls, places: Sequence[RankPlace]) -> Partition:
    """Return the ranks of a process group; of one name there may be several."""
    name = keyed.key.group.split(" ")[0]
    by_ranks: dict[tuple[int, ...], list[int]] = {}
    for rank in keyed.ranks:
        by_ranks.setdefault(places[rank].groups.get(name, ()), []).append(rank)
    return list(by_ranks.values())


def _suggested(keyed: KeyedCalls, places: Sequence[RankPlace]) -> list[Partition]:
    """Return the partitions that may be, the likeliest first, each once."""
    candidates = [
        *_by_tags(keyed, places),
        *_by_process_groups(keyed.ranks, places),
        *_by_halves(keyed.ranks),
    ]
    found: dict[tuple[tuple[int, ...], ...], Partition] = {}
    for partition in candidates:
        found.setdefault(tuple(map(tuple, partition)), partition)
    return list(found.values())


def _by_tags(keyed: KeyedCalls, places: Sequence[RankPlace]) -> Iterator[Partition]:
    """Yield the groups that the names of files suggest, where they differ along two axes."""
    tags = [places[rank].tags for rank in keyed.ranks]
    varying = [axis for axis in AXES if _varies(tags, axis)]
    if len(varying) < 2 or not all(tags):
        return
    # Ranks that differ along these axes communicate; those that differ along others do not.
    along = ("tp", "ep", "dp") if keyed.collective in OF_EXPERTS else ("tp",)
    apart = [axis for axis in varying if axis not in along]
    if apart and len(apart) < len(varying):
        labels = [_label(tag, apart) for tag in tags]
        yield _grouped(keyed.ranks, labels)


def _varies(tags: Iterable[Mapping[str, int]], axis: str) -> bool:
    return len({tag.get(axis) for tag in tags}) > 1


def _label(tag: Mapping[str, int], axes: Iterable[str]) -> tuple[int, ...]:
    return tuple(tag.get(axis, 0) for axis in axes)


def _by_process_groups(
    ranks: Sequence[int], places: Sequence[RankPlace]
) -> Iterator[Partition]:
    """Yield the partitions that the job's process groups make, the largest groups first."""
    sizes = {
        len(group)
        for rank in ranks
        for group in places[rank].groups.values()
        if len(group) > 1
    }
    for size in sorted(sizes, reverse=True):
        of_size = [
            {group for group in places[rank].groups.values() if len(group) == size}
            for rank in ranks
        ]
        if all(len(groups) == 1 for groups in of_size):
            yield _grouped(ranks, [next(iter(groups)) for groups in of_size])


def _by_halves(ranks: Sequence[int]) -> Iterator[Partition]:
    """Yield all ranks as one group, then neighbours, and ranks as far apart, in equal parts."""
    yield [list(ranks)]
    size = len(ranks)
    while size % 2 == 0 and size > 2:
        size //= 2
        count = len(ranks) // size
        yield [list(ranks[first : first + size]) for first in range(0, len(ranks), size)]
        yield [list(ranks[first::count]) for first in range(count)]


def _grouped(ranks: Iterable[int], labels: Iterable[tuple[int, ...]]) -> Partition:
    groups: dict[tuple[int, ...], list[int]] = {}
    for rank, label in zip(ranks, labels, strict=True):
        groups.setdefault(label, []).append(rank)
    return list(groups.values())


def _apart(keyed: KeyedCalls, ranks: Sequence[RankTimeline], partition: Partition) -> float:
    """Return how far apart the ends of calls of one group are, in ns: the median of some calls."""
    in_order = map(np.sort, keyed.columns(ranks, "end"))
    ends = dict(zip(keyed.ranks, in_order, strict=True))
    distances = [
        _distance(ends[group[0]], ends[rank]) for group in partition for rank in group[1:]
    ]
    return max(distances, default=float("inf"))


def _distance(reference: Int64, ends: Int64) -> float:
    """Return how far each of some ends is from the nearest of another rank's, the median.

    Only the time that both recordings hold counts: one may have been cut short.
    """
    both_recorded = (reference >= ends[0]) & (reference <= ends[-1])
    in_common = reference[both_recorded]
    if not in_common.size:
        return float("inf")
    some = in_common[:: max(1, in_common.size // SAMPLE)]
    after = np.clip(np.searchsorted(ends, some), 0, ends.size - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.minimum(np.abs(ends[after] - some), np.abs(ends[before] - some))
    return float(np.median(nearest))


def parallel(
    places: Sequence[RankPlace], together: Sequence[tuple[Collective, int]], in_pairs: int
) -> str:
    """Return how ranks divide the work, such as "PP 2 × TP 4"; empty where it cannot be told.

    Names of files say it, else what ranks do `together` (collective, number of ranks), and how many
    ranks send to each other `in_pairs`.
    """
    told = _sizes_by_tags(places)
    by_experts = max(
        (count for collective, count in together if collective in OF_EXPERTS), default=0
    )
    if by_experts and "ep" not in told:
        experts = f"EP {by_experts}"
        return f"{_product(told)}, {experts}" if told else experts
    return _product(told or _sizes_by_calls(len(places), together, in_pairs))


def _sizes_by_tags(places: Sequence[RankPlace]) -> dict[str, int]:
    """Return how many parts there are along each axis, as names of files say it."""
    told = {}
    for axis in AXES:
        numbers = {place.tags[axis] for place in places if axis in place.tags}
        if len(numbers) > 1:
            told[axis] = len(numbers)
    # Data-parallel attention: each rank of "TP" has requests of its own.
    if told.get("dp") == told.get("tp") == len(places):
        del told["tp"]
    return told


def _sizes_by_calls(
    ranks: int, together: Sequence[tuple[Collective, int]], in_pairs: int
) -> dict[str, int]:
    """Return how many parts there are along each axis, as collectives of the ranks tell it."""
    largest: dict[str, int] = {}
    for collective, count in together:
        axis = _AXIS.get(collective)
        if axis is None:
            continue
        largest[axis] = max(largest.get(axis, 0), count)

    within = max(largest.values(), default=1)
    if in_pairs > within:
        largest["pp"] = in_pairs // within
    elif largest and ranks > within:
        largest["dp"] = ranks // within
    return largest


def _product(sizes: Mapping[str, int]) -> str:
    return " × ".join(f"{axis.upper()} {sizes[axis]}" for axis in AXES if axis in sizes)


_AXIS = {
    Collective.ALL_REDUCE: "tp",
    Collective.REDUCE_SCATTER: "tp",
}
