"""Any loop in three lines: torch.profiler over some of its steps, the trace written, analysed and reported on."""

from __future__ import annotations

import sys
import threading
from contextlib import ContextDecorator
from pathlib import Path
from typing import Any

from idlescope.analysis.analyze import analyze, no_device
from idlescope.analysis.result import Analysis
from idlescope.capture.profiler import WARMUP_STEPS, Profiler, StepWindow, start_up
from idlescope.capture.ranges import end_recorded, recorded
from idlescope.errors import ConfigError, IdlescopeError
from idlescope.report import folder
from idlescope.report.text import visible
from idlescope.trace.open import open_trace

TRACE = "trace.json.gz"


class Profile(ContextDecorator):
    """Profiles what runs meanwhile, in all threads, as a context manager or a decorator.

        with idlescope.profile("out", steps=50) as p:
            for batch in batches:
                serve(batch)
                p.step()

    `step` says that an iteration has ended, from whatever thread runs the loop. After `warmup` of them so many `steps`
    are recorded; without `steps`, everything is. Light: no stacks, no shapes. At the end, after an exception too, the
    trace is written to `out` (or the first of out-2, out-3, … that is not there), analysed, and reported on; `trace`
    and `report` say where, `analysis` is None where there was nothing to analyse. Raises ConfigError where torch is
    missing or a number makes no sense.
    """

    def __init__(
        self, out: str | Path, steps: int | None = None, warmup: int = WARMUP_STEPS
    ) -> None:
        if (steps is not None and steps < 1) or warmup < 0:
            raise ConfigError(
                f"steps={steps}, warmup={warmup}: give at least one step, and no negative number"
            )
        self._asked = (out, steps, warmup)
        self._window: StepWindow | None = None
        self._steps = 0
        self._open: tuple[int, Any] | None = (
            None  # the thread of the step that is marked, and its handle
        )
        self.folder = Path(out)
        self.analysis: Analysis | None = None
        self.trace: Path | None = None
        self.report: Path | None = None

    def _recreate_cm(self) -> Profile:
        """Return a profile for one call of a decorated function."""
        return Profile(*self._asked)

    def __enter__(self) -> Profile:
        out, steps, warmup = self._asked
        self.folder = folder.free_name(Path(out))
        start_up()
        first = 0 if steps is None else warmup
        last = sys.maxsize if steps is None else warmup + steps
        self._window = StepWindow(Profiler(), self.folder / TRACE, first, last)
        folder.claim(self.folder, force=False)
        self._window.before(0)
        return self

    def step(self) -> None:
        """Note that an iteration of the loop has ended, and the next begins."""
        if self._window is None:
            raise ConfigError("step() is for the inside of `with idlescope.profile(…) as p:`")
        self._end_step()
        self._steps += 1
        self._window.before(self._steps)
        if (handle := recorded(f"ProfilerStep#{self._steps}")) is not None:
            self._open = threading.get_ident(), handle

    def __exit__(self, *exception: object) -> None:
        window, self._window = self._window, None
        assert window is not None
        self._end_step()
        window.close(self._steps)
        if not window.path.exists():
            self.folder.rmdir()
            _say(
                f"nothing was recorded: the loop made {self._steps} steps, and the first {window.first} are to warm up"
            )
            return
        self.trace = window.path
        try:
            trace = open_trace(window.path)
            self.analysis = analyze(trace)
            command = f"idlescope analyze {window.path}"
            self.report = folder.write_analysis(trace, self.analysis, self.folder, command)[0]
        except IdlescopeError as error:
            _say(str(error))
            return
        said = [d.verdict.text for d in self.analysis.results] or [
            f"no device was seen: {no_device(trace)}"
        ]
        _say(f"{' '.join(said)} ({self.report})")

    def _end_step(self) -> None:
        if self._open is not None:
            thread, handle = self._open
            self._open = None
            if (
                thread == threading.get_ident()
            ):  # torch ends a range only in the thread that began it
                end_recorded(handle)


def _say(text: str) -> None:
    print(f"idlescope: {visible(text)}", file=sys.stderr)
