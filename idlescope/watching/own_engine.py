"""Our own engine, watched through its recorder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from time import perf_counter_ns

from idlescope.engine.clock import SUBMIT, SystemClock
from idlescope.engine.devices.base import Device, DeviceOperation
from idlescope.engine.loop import Recorder
from idlescope.engine.requests import Request
from idlescope.engine.scheduler import Emitted
from idlescope.errors import ConfigError
from idlescope.trace.names.own_engine import ENGINE_PHASES, WAIT_CALL
from idlescope.watching.rows import NO_DEMAND, OVERHEAD
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.watch import Watch
from idlescope.watching.ways.own_engine import OwnEngineWay

NOT_KNOWN = 0  # the code of the kind of its steps: the engine does not say it
_MODELLED = "--device {} is modelled, and only what really runs can be watched"


@contextmanager
def watched(device: Device, recorder: Recorder) -> Iterator[Recorder]:
    """Give a recorder that tells a watch, too, as the environment says; closed at the end.

    Implements `experiment.watched.Watched`. What is modelled is not watched, which is logged.
    Raises ConfigError where what the environment says makes no sense.
    """
    if not isinstance(device.clock, SystemClock):
        LOGGER.warning("not watched: %s", _MODELLED.format(device.kind))
        yield recorder
        return
    watching = watch_engine(device, recorder)
    LOGGER.info("watched at %s", watching.watch.url)
    try:
        yield watching
    finally:
        watching.watch.close()


def watch_engine(
    device: Device, recorder: Recorder, **settings: object
) -> OwnEngineRecorder:
    """Return a recorder that passes everything on to another one, and to a watch.

    `settings` are those of `Watch`. Raises ConfigError for a device on a clock that is modelled:
    there is nothing to watch.
    """
    clock = device.clock
    if not isinstance(clock, SystemClock):
        raise ConfigError(_MODELLED.format(device.kind))
    way = OwnEngineWay(device.kind, device.name)
    watch = Watch(way=way, engine="idlescope", **settings)  # type: ignore[arg-type]
    watch.steps_in_phases = True
    return OwnEngineRecorder(clock, recorder, watch, way)


class OwnEngineRecorder:
    """Implements the engine's `Recorder`.

    The engine reads the clock before it tells what ended then, so nothing is settled but what lies
    before the end of what it told last (`_told`): what is open meanwhile is never asked for.
    """

    def __init__(
        self, clock: SystemClock, recorder: Recorder, watch: Watch, way: OwnEngineWay
    ) -> None:
        self.watch = watch
        self._clock = clock
        self._recorder = recorder
        self._way = way
        names = watch.rows.names
        self._phase_codes = [names[phase] for phase in ENGINE_PHASES]
        self._wait_call = names[WAIT_CALL]
        self._zero = 0  # perf_counter at the clock's 0, which a run sets
        self._launch = 0
        self._step = 0  # that was retired last
        self._step_start = 0  # of the iteration that retires one; 0: none has begun

    def begin(self, phase: int, step: int) -> None:
        """Note that host work on a step begins."""
        self._recorder.begin(phase, step)
        watch = self.watch
        if watch.off:
            return
        try:
            begun = perf_counter_ns()
            self._zero = begun - self._clock.at(begun)
            self._step_start = self._step_start or begun
            if watch.thread != get_ident():
                watch.bind()
            if phase == SUBMIT:
                self._way.launched(step)
        except Exception as error:
            watch.turn_off(described(error))

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step, which has just ended."""
        self._recorder.phase(phase, step, start, end)
        if not self.watch.off:
            self._add_phase(self._phase_codes[phase], step, start, end)
            if step >= 0:  # else the time without requests is counted from its start
                self._told(end)

    def arrived(self, request: Request) -> None:
        """Note that a request was queued."""
        self._recorder.arrived(request)

    def emitted(self, emitted: Emitted) -> None:
        """Note what a step yielded."""
        self._recorder.emitted(emitted)

    def abandon(self) -> None:
        """Note that the engine has failed: whatever has begun is over."""
        self._recorder.abandon()
        self._way.abandoned()

    def wait(self, step: int, start: int, end: int) -> None:
        """Record that the host was blocked until a step's tokens were there."""
        self._recorder.wait(step, start, end)
        if not self.watch.off:
            zero = self._zero
            self.watch.rows.calls.extend(
                (self._wait_call, step, start + zero, end + zero, 0)
            )

    def no_demand(self, start: int, end: int) -> None:
        """Record that there was no request to work on."""
        self._recorder.no_demand(start, end)
        if not self.watch.off:
            self._add_phase(NO_DEMAND, -1, start, end)
            self._told(end)
            self._step_start = 0

    def operations(self, step: int, operations: Iterable[DeviceOperation]) -> None:
        """Record what a retired step ran on the device."""
        operations = tuple(operations)
        self._recorder.operations(step, operations)
        if self.watch.off:
            return
        try:
            self._add_operations(step, operations)
            self._step = step
        except Exception as error:
            self.watch.turn_off(described(error))

    def overhead(self, start: int, end: int) -> None:
        """Record the time that recording itself took."""
        self._recorder.overhead(start, end)
        if not self.watch.off and end > start:
            self._add_phase(OVERHEAD, -1, start, end)
            self._told(end)

    def counters(
        self, time: int, running: int, waiting: int, free_blocks: int, tokens: int
    ) -> None:
        """Record the state of the scheduler after a step: here a step is over."""
        self._recorder.counters(time, running, waiting, free_blocks, tokens)
        watch = self.watch
        if watch.off:
            return
        try:
            step_end = time + self._zero
            watch.rows.steps.extend(
                (self._step, NOT_KNOWN, self._step_start, step_end, tokens, running)
            )
            self._step_start = step_end
            watch.rows.shorten()
        except Exception as error:
            watch.turn_off(described(error))

    def _told(self, end: int) -> None:
        """Note that all is written down that happened before a time on the engine's clock."""
        self._way.told_ns = end + self._zero

    def _add_phase(self, code: int, step: int, start: int, end: int) -> None:
        zero = self._zero
        self.watch.rows.phases.extend((code, step, start + zero, end + zero))

    def _add_operations(self, step: int, operations: Iterable[DeviceOperation]) -> None:
        """Take down the operations of a step, and the call that launched each."""
        names, zero = self.watch.rows.names, self._zero
        calls = self.watch.rows.calls
        rows: list[int] = []
        for operation in operations:
            self._launch = launch = self._launch + 1
            call = names[operation.call]
            calls.extend(
                (call, step, operation.call_start + zero, operation.call_end + zero, launch)
            )
            rows += (launch, operation.stream, int(operation.kind))
            rows += (self._way.code(operation.name),)
            rows += (operation.start + zero, operation.end + zero)
        self._way.retired(step, rows)
