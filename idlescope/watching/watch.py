"""The watch of one loop and the device that it drives."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from time import perf_counter_ns

from idlescope.analysis.intervals import AFTER_EVERYTHING
from idlescope.capture import ranges
from idlescope.errors import ConfigError
from idlescope.trace.model import Trace
from idlescope.watching import foresight, recording, runtime, turns
from idlescope.watching.account import Account, OpenRows
from idlescope.watching.families import Seen
from idlescope.watching.foresight import STEPS as FORESEEN_STEPS
from idlescope.watching.foresight import Foresee, Foresight
from idlescope.watching.loop_watch import LoopWatch
from idlescope.watching.overhead import phase_cost_ns
from idlescope.watching.ring import Ring, Watched, trace_of
from idlescope.watching.rows import COLLECTION
from idlescope.watching.rules import Rule, Trigger
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.settings import WAYS, Settings
from idlescope.watching.shown import device_state
from idlescope.watching.state import WatchState
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.choice import way_called

CLOSED = "closed"
# Settling costs some 3.5 ms each time, and little more per step: it is done seldom, and when
# somebody asks; more often where a rule is to be held to.
SETTLE_NS = 10_000_000_000
SETTLE_BY_RULE_NS = 3_000_000_000
PATIENCE = 200  # looks at whether the loop's thread writes, some 20 ms: then the next settling does


class Watch(LoopWatch):
    """Watches the loop of the thread that makes its steps.

        watch = idlescope.watch()
        while serving:
            with watch.step(tokens=32, requests=32):
                with idlescope.range("prepare"):
                    ...
                with watch.launching("forward"):
                    graph.replay()
                with watch.waiting("tokens"):
                    event.synchronize()

    `way` is how the device is timed: "events", "activity", "host" (not at all), a `DeviceWay` of
    your own, or None for the best that there is. `steps` is how many the ring holds for a
    recording, `folder` where recordings go, `port` that of `/metrics` and `/state` (0: a free one),
    `record_when` a rule such as "idle > 10% for 30s"; what is None is as the environment says
    (`watching/settings.py`). Raises ConfigError for what makes no sense. Nothing that goes wrong
    later reaches the loop: the watch turns itself off, and says so in the log "idlescope".
    """

    def __init__(
        self,
        way: str | DeviceWay | None = None,
        device: int | None = None,
        steps: int | None = None,
        folder: str | Path | None = None,
        port: int | None = None,
        record_when: str | None = None,
        engine: str = "a loop",
        version: str = "",
        rank: int | None = None,
    ) -> None:
        settings = Settings.read().changed(steps, folder, port, record_when)
        rule = Rule.parse(settings.record_when) if settings.record_when else None
        super().__init__(_chosen(way, settings, device))
        self.engine, self.version, self.rank = engine, version, rank
        self.settings = settings
        self.steps_in_phases = False  # whether phases say for which step they are
        # Whether the host has worked for a step before it begins.
        self.steps_begin_late = False
        self.overlaps = False  # the engine's own setting: batching is asynchronous

        # in another thread
        self._settling = threading.RLock()  # a signal's handler may ask amid it
        self._is_settling = False
        self._account = Account(self.way.device)
        self._ring = Ring(settings.steps)
        self._foresight = Foresight()
        self._trigger = Trigger(rule) if rule is not None else None
        self._settling_ns = 0  # processor time of that
        self._beside_ns = 0  # of it, while the loop had work to do; and what phases cost
        self._every_ns = SETTLE_NS if rule is None else SETTLE_BY_RULE_NS
        self._is_asked = False  # the loop has said that now is a good moment
        self._waits_for_turn: threading.Event | None = None
        self._runtime = runtime.join(self, settings)
        gc.callbacks.append(self._on_collection)

    # -- what it has seen ----------------------------------------------------------------------

    def settle(self) -> None:
        """Take in what has happened; in the thread of the runtime, and for those who ask."""
        if self.off:
            return
        self._is_asked = False
        self.due_ns = time.perf_counter_ns() + self._every_ns
        try:
            with self._settling:
                # What asks amid it is answered with what there is; closed meanwhile, it is over.
                if not self._is_settling and not self.off:
                    self._settle_alone()
        except Exception as error:
            self.turn_off(described(error))
        except BaseException as interruption:  # half is counted, and cannot be again
            self.turn_off(described(interruption))
            raise
        if self._trigger is not None:
            self._record_by_rule(self._trigger)

    def _settle_alone(self) -> None:
        """Settle, and say so meanwhile."""
        self._is_settling = True
        try:
            with self.beside():
                self._take_in()
        finally:
            self._is_settling = False

    def _take_in(self) -> None:
        """Take what has happened off the lists, and count it."""
        # In this order, as the loop goes on meanwhile: of a launch call that is open no more the
        # way knows; what else is open no more is in the rows that are taken.
        written_until = self._written_until()
        launch_start = self._launch_start or AFTER_EVERYTHING
        ended = self.way.ended()
        until_ns = min(ended.until_ns, written_until, launch_start)
        ended = ended._replace(until_ns=until_ns)
        still_open = self._still_open()
        taken = self.rows.take()
        turns.pause()

        phase_count = taken.phases["name"].size
        self._beside_ns += round(phase_count * phase_cost_ns())
        names = self.rows.names.in_order()
        fresh = self._account.settle(ended, taken, still_open, names)
        self._ring.add(taken, fresh)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Stand back for the loop between pieces of what this thread does; what it costs counts."""
        begun_ns = time.thread_time_ns()
        with turns.taken(self) as taking_turns:
            yield
        self._beside_ns += taking_turns.in_the_way_ns
        self._settling_ns += time.thread_time_ns() - begun_ns

    def _written_until(self) -> int:
        """Return a time before which all that the loop did is written down, ns."""
        # Where this interrupts the loop amid its writing, waiting is in vain.
        is_loop = self.thread == threading.get_ident()
        written_until = self.rows.written_until(0 if is_loop else PATIENCE)
        return self._account.until if written_until is None else written_until

    def _still_open(self) -> OpenRows:
        """Return what the loop's thread is in the midst of, while it goes on."""
        rows = self.rows
        open_phases = rows.open_phases[:]
        collection_start = self._collection_start
        if collection_start:
            open_phases += (COLLECTION, collection_start)
        step_start, step = self._step_start, self._step_number
        if self._step_start != step_start:  # another began meanwhile: the number may be its
            step_start = 0
        return OpenRows(open_phases, self._open_wait, step, step_start)

    def _record_by_rule(self, trigger: Trigger) -> None:
        """Make a recording where the rule has begun to hold."""
        try:
            if trigger.fires(self._account.history, self._account.until):
                written = self.record_next()
                LOGGER.info("%s: recorded %s", self.settings.record_when, written)
        except Exception as error:
            LOGGER.warning("no recording was written: %s", described(error))

    @property
    def overhead_ns(self) -> int:
        """Return what the watch took of the loop's time."""
        return self._overhead_ns + self._beside_ns

    @property
    def settling_ns(self) -> int:
        """Return the processor time of what happens beside the loop."""
        return self._settling_ns

    @property
    def way_name(self) -> str:
        """Return how the device is timed."""
        return self.way.name

    @property
    def url(self) -> str:
        """Return where `/metrics` and `/state` are served; "" where they are not."""
        return self._runtime.url

    @property
    def lost(self) -> int:
        """Return how many rows were dropped because nobody took them in time."""
        return self.rows.lost + self._account.dropped

    def seen(self, foresee: Foresee | None = None) -> Seen:
        """Return what has been seen; with what asynchronous batching would give if asked.

        `foresee` is `foresight.here`, or `foresight.elsewhere` while the loop goes on.
        """
        told = None
        totals = self._account.totals
        if foresee is not None and self.way.device is not None and not self.off:
            step_count = totals.step_time.count
            told = self._foresight.look(
                lambda: self.trace(FORESEEN_STEPS), step_count, foresee
            )
        with self._settling:
            state = device_state(self, self._account, told)
            return Seen(
                state, deepcopy(totals), "" if state.device < 0 else str(state.device)
            )

    def state(self) -> WatchState:
        """Return what has been seen so far, up to now as far as that is known."""
        self.settle()
        return self._runtime.state_of([self.seen(foresight.here).state])

    def trace(self, steps: int | None = None) -> Trace:
        """Return the last so many steps, all of the ring unless told, as a Trace."""
        with self._settling:
            kept = self._ring.tables(steps)
            until = self._account.until
        watched = Watched(
            way=self.way.name,
            limits=tuple(self.way.limits),
            engine=self.engine,
            version=self.version,
            rank=self.rank,
            steps_in_phases=self.steps_in_phases,
            steps_begin_late=self.steps_begin_late,
            overlaps=self.overlaps,
        )
        return trace_of(
            kept,
            until,
            self.rows.names.in_order(),
            self.way.names,
            self.way.device,
            watched,
            time.time_ns() - perf_counter_ns(),
        )

    def record(self, folder: str | Path | None = None) -> Path:
        """Write the last steps as a recording; return its folder.

        It goes beside the others of this watch unless a folder is given. Raises OutputExistsError
        where that holds anything, OSError where it cannot be written.
        """
        self.settle()
        if folder is None:
            return self._write_next(recording.write)
        return recording.write(self.trace(), Path(folder))

    def record_next(self) -> Path:
        """Write a recording beside the others while the loop goes on."""
        return self._write_next(recording.write_elsewhere)

    def _write_next(self, write: recording.Write) -> Path:
        """Write a recording, of which so many are kept as the settings say."""
        settings = self.settings
        with self.beside():
            trace = self.trace()
            turns.pause()
            return recording.write_next(trace, settings.folder, settings.recordings, write)

    def call_when_waiting(self, then: threading.Event | None) -> None:
        """Set an event when the loop begins to wait for its device; None: no more."""
        self._waits_for_turn = then
        self.due_ns = 0 if then is not None else time.perf_counter_ns() + self._every_ns

    def good_moment(self, now_ns: int) -> None:
        """Let settling begin, or go on: the loop waits for its device."""
        self.due_ns = now_ns + self._every_ns
        waiting, self._waits_for_turn = self._waits_for_turn, None
        if waiting is not None:
            waiting.set()
        else:
            self._is_asked = True
            self._runtime.wake.set()

    def is_due(self) -> bool:
        """Return whether it is time to settle, and that is not what somebody does."""
        is_time = self._is_asked or time.perf_counter_ns() >= self.due_ns
        return is_time and not self._is_settling

    # -- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop watching, once all that has ended is taken in; again: nothing."""
        self.settle()
        if not self.off:
            self.forget(CLOSED)
            self._close_way()
        runtime.leave(self)

    def turn_off(self, reason: str) -> None:
        """Stop for good after an error of ours, and say so: in the log, and in what is exported."""
        if self.off:
            return
        self.forget(reason)
        LOGGER.warning("the watch of %s turned itself off: %s", self.engine, reason)
        self._close_way()

    def _close_way(self) -> None:
        try:
            self.way.close()
        except Exception as error:
            LOGGER.debug("closing the watch: %s", described(error))

    def abandon(self) -> None:
        """Be off in a forked process: what settled in its parent holds the lock for ever."""
        self._settling = threading.RLock()
        self.forget("the process was forked")

    def forget(self, reason: str) -> None:
        """Be off, and hear nothing any more."""
        self.off = reason
        if self.when_off is not None:
            self.when_off()
        if ranges.LISTENERS.get(self.thread) is self.rows:
            del ranges.LISTENERS[self.thread]
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)


def _chosen(
    way: str | DeviceWay | None, settings: Settings, device: int | None
) -> DeviceWay:
    """Return the way that is asked for. Raises ConfigError for a name that is none."""
    if way is not None and not isinstance(way, str):
        return way
    if way not in (None, *WAYS):
        raise ConfigError(f"way={way!r}: give one of {', '.join(WAYS)}, or none")
    return way_called(way or settings.way, device)
