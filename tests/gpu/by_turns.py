"""A plugin of vLLM and SGLang that turns their watch off and on by turns, and takes the time of each step.

Two servers differ by more than a watch costs, and one server from one minute to the next. Here the same loop is watched for
some steps and not for the next. BY_TURNS is a folder: its file `states` says what follows what ("off,on"; one word: always
that), and `PID.steps` gets what was measured, as `rows_of` reads it.

`PID.replays` gets how long each launch of a CUDA graph takes the host, watched or not: start and time, ns.

off     no hook takes anything down, no event is recorded; by activity, CUPTI goes on recording
on      as it is
hooks   hooks take down what they do, but the device is not timed
gone    as off, and CUPTI records nothing

What the watch says of idle is of no use where not all turns are on.
"""

from __future__ import annotations

import itertools
import os
from array import array
from pathlib import Path
from statistics import mean, median
from time import perf_counter_ns
from typing import Any, NamedTuple

STEPS = 48  # of a turn
STATES = ("off", "on", "hooks", "gone", "settled")  # settled: a settling, from start to end
WATCHED = ("on", "hooks")
UNSETTLED = 4  # first steps of a turn that do not count
FIELDS = 5
REPLAYS_AT_ONCE = 100


class NoWay:
    """Stands for a way, and times nothing in the loop's thread."""

    def __init__(self, way: Any) -> None:
        self._way = way

    def __getattr__(self, name: str) -> Any:
        return getattr(self._way, name)

    def begin(self, launch: int, start_ns: int) -> None:
        """Do nothing."""

    def end(self, launch: int) -> None:
        """Do nothing."""


class Turns:
    """Which turn it is, and the rows of what was measured: state, turn, start, kind, requests."""

    def __init__(self, folder: Path) -> None:
        self.states = folder / "states"
        self.out = folder / f"{os.getpid()}.steps"
        self.rows = array("q")
        self.steps = self.turn = self.state = 0
        self.way: Any = None  # the true one, while another stands for it

    def next(self, loop: Any) -> None:
        """Begin the next turn."""
        self.turn += 1
        before, self.state = self.state, self.told()
        with self.out.open("ab") as file:
            self.rows.tofile(file)
        del self.rows[:]
        if loop.watch is None or loop.off or before == self.state:
            return
        self.timed(loop, self.state != STATES.index("hooks"))
        self.recorded(loop, self.state != STATES.index("gone"))
        if not self.watched and STATES[before] in WATCHED:
            loop.demand_ends()

    def told(self) -> int:
        """Return the state of this turn; "on" where none is told, or half of a word."""
        try:
            words = self.states.read_text().split(",")
            return STATES.index(words[self.turn % len(words)].strip())
        except (OSError, ValueError):
            return STATES.index("on")

    @property
    def watched(self) -> bool:
        """Return whether hooks take anything down."""
        return STATES[self.state] in WATCHED

    def timed(self, loop: Any, wanted: bool) -> None:
        """Let the way be told of launches, or not."""
        if wanted and self.way is not None:
            loop.watch.way, self.way = self.way, None
        elif not wanted and self.way is None:
            self.way = loop.watch.way
            loop.watch.way = NoWay(self.way)

    def recorded(self, loop: Any, wanted: bool) -> None:
        """Let CUPTI record, or not."""
        way = loop.watch.way
        if getattr(way, "_away", None) is wanted:
            if wanted:
                way.come_back()
            else:
                way.give_way()


def time_replays(out: Path) -> None:
    """Take the time of every launch of a CUDA graph."""
    import torch

    replay = torch.cuda.CUDAGraph.replay
    rows = array("q")

    def timed(graph: Any) -> None:
        start = perf_counter_ns()
        replay(graph)
        rows.extend((start, perf_counter_ns() - start))
        if len(rows) >= REPLAYS_AT_ONCE * 2:
            with out.open("ab") as file:
                rows.tofile(file)
            del rows[:]

    torch.cuda.CUDAGraph.replay = timed


def replays_of(folder: Path) -> list[int]:
    """Return how long the launches took that were told since the last asking, ns."""
    found: list[int] = []
    for path in folder.glob("*.replays"):
        values = array("q")
        values.frombytes(path.read_bytes())
        path.write_bytes(b"")
        found += values[1::2]
    return found


def install() -> None:
    """Turn the watch of this process's loop off and on, if that is asked for."""
    if "BY_TURNS" not in os.environ:
        return
    from idlescope.watching.engines.loop import Loop
    from idlescope.watching.watch import Watch

    folder = Path(os.environ["BY_TURNS"])
    folder.mkdir(parents=True, exist_ok=True)
    time_replays(folder / f"{os.getpid()}.replays")
    turns = Turns(folder)
    begin_step, settle = Loop.begin_step, Watch.settle

    def by_turns(loop: Any, tokens: int, requests: int, kind: Any) -> None:
        if turns.steps % STEPS == 0:
            turns.next(loop)
        turns.steps += 1
        now = perf_counter_ns()
        turns.rows.extend((turns.state, turns.turn, now, kind.code, requests))
        if turns.watched:
            begin_step(loop, tokens, requests, kind)
        else:
            loop.active = 0

    def settled(watch: Any) -> None:
        start = perf_counter_ns()
        settle(watch)
        row = (STATES.index("settled"), turns.turn, start, perf_counter_ns(), 0)
        turns.rows.extend(row)

    Loop.begin_step, Watch.settle = by_turns, settled


class Compared(NamedTuple):
    """What a turn costs more than those beside it in the other state: medians, so that what else
    the machine does in a turn counts for little."""

    turns: int
    steps: int
    other_ms: float  # a step in the other state
    cost_us: float  # a step, more
    error_us: float  # of that: a standard error by the median deviation of turns
    settling_us: float  # a step, while another thread settles, more: over all steps


class Step(NamedTuple):
    """A step that is followed by another of its turn."""

    start: int
    length: int  # ns


def rows_of(path: Path) -> list[array[int]]:
    """Return the rows of a file: state, turn, start, kind, requests."""
    values = array("q")
    values.frombytes(path.read_bytes())
    return [values[first : first + FIELDS] for first in range(0, len(values), FIELDS)]


def steps_of(
    rows: list[array[int]], kind: int | None = None
) -> dict[tuple[int, int], list[Step]]:
    """Return the steps of each turn, all or those of a kind, by state and turn."""
    rows = [row for row in rows if STATES[row[0]] != "settled"]
    found: dict[tuple[int, int], list[Step]] = {}
    place = 0
    for row, after in itertools.pairwise(rows):
        state, turn, start, step_kind, requests = row
        place += 1
        if after[1] != turn:
            place = 0
        elif place > UNSETTLED and after[4] == requests and kind in (None, step_kind):
            found.setdefault((state, turn), []).append(Step(start, after[2] - start))
    return found


def compared(
    path: Path, state: str = "on", kind: int | None = None, to: str = "off"
) -> Compared | None:
    """Return what a state costs: each of its turns against the mean of the other turns beside it."""
    rows = rows_of(path)
    turns = steps_of(rows, kind)
    settlings = [(row[2], row[3]) for row in rows if STATES[row[0]] == "settled"]

    def settles(step: Step) -> bool:
        end = step.start + step.length
        return any(step.start < last and end > first for first, last in settlings)

    def typical(wanted: tuple[int, int]) -> float | None:
        lengths = [step.length for step in turns.get(wanted, []) if not settles(step)]
        return median(lengths) if lengths else None

    other_code, code = STATES.index(to), STATES.index(state)
    more, other_ns, count, excess_ns = [], [], 0, 0.0
    for (found, turn), steps in turns.items():
        here = typical((found, turn))
        beside = [typical((other_code, turn + near)) for near in (-1, 1)]
        if found != code or here is None or None in beside:
            continue
        other_ns.append(mean(beside))
        more.append(here - other_ns[-1])
        count += len(steps)
        excess_ns += sum(step.length - here for step in steps if settles(step))
    if len(more) < 3:
        return None
    cost_ns = median(more)
    spread_ns = 1.4826 * median(abs(each - cost_ns) for each in more)
    return Compared(
        turns=len(more),
        steps=count,
        other_ms=median(other_ns) / 1e6,
        cost_us=cost_ns / 1e3,
        error_us=1.2533 * spread_ns / len(more) ** 0.5 / 1e3,
        settling_us=excess_ns / count / 1e3,
    )
