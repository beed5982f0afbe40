"""Any loop in three lines: torch.profiler over some of its steps, analysed and reported on."""

from __future__ import annotations

import sys
import threading
from contextlib import ContextDecorator
from pathlib import Path
from typing import Any, NamedTuple

from idlescope.analysis.analyze import analyze
from idlescope.analysis.no_device import no_device
from idlescope.analysis.result import Analysis
from idlescope.capture.leaving import LeavingInOrder
from idlescope.capture.profiler import TorchProfiler, load_torch_profiler
from idlescope.capture.ranges import begin_recorded, end_recorded
from idlescope.capture.window import WARMUP_STEPS, StepWindow
from idlescope.errors import ConfigError, IdlescopeError
from idlescope.report import output_folder, trace_report
from idlescope.report.text import visible
from idlescope.trace.open import open_trace

TRACE = "trace.json.gz"


class OpenStep(NamedTuple):
    """A step that is marked in the profiler's trace and has not ended."""

    thread: int  # that began it
    handle: Any  # of `begin_recorded`


class Profile(ContextDecorator):
    """Profiles what runs meanwhile, in all threads, as a context manager or a decorator.

        with idlescope.profile("out", steps=50) as p:
            for batch in batches:
                serve(batch)
                p.step()

    `step` says that an iteration has ended, from whatever thread runs the loop. After `warmup` of
    them, `steps` are recorded; without `steps`, everything is. Light: no stacks, no shapes. At the
    end, after an exception too, the trace is written to `out` (or the first of out-2, out-3, … that
    is not there), analysed, and reported on; `trace` and `report` say where, `analysis` is None
    where there was nothing to analyse. `kill` (SIGTERM) and a closed terminal, where the program
    does not handle them, raise SystemExit meanwhile, for the same. Raises ConfigError where torch
    is missing or a number makes no sense.
    """

    def __init__(
        self, out: str | Path, steps: int | None = None, warmup: int = WARMUP_STEPS
    ) -> None:
        if (steps is not None and steps < 1) or warmup < 0:
            raise ConfigError(
                f"steps={steps}, warmup={warmup}: give at least one step, and no negative number"
            )
        self.folder = Path(out)
        self.analysis: Analysis | None = None
        self.trace: Path | None = None
        self.report: Path | None = None
        self._out = out
        self._steps_asked = steps
        self._warmup = warmup
        self._window: StepWindow | None = None
        self._steps_done = 0
        self._open_step: OpenStep | None = None
        self._signals = LeavingInOrder()

    def _recreate_cm(self) -> Profile:
        """Return a profile for one call of a decorated function."""
        return Profile(self._out, self._steps_asked, self._warmup)

    def __enter__(self) -> Profile:
        self.folder = output_folder.free_name(Path(self._out))
        load_torch_profiler()
        first, last = 0, sys.maxsize
        if self._steps_asked is not None:
            first = self._warmup
            last = first + self._steps_asked
        self._window = StepWindow(TorchProfiler(), self.folder / TRACE, first, last)
        output_folder.claim(self.folder, force=False)
        self._signals.begin()
        self._window.before(0)
        return self

    def step(self) -> None:
        """Note that an iteration of the loop has ended, and the next begins."""
        if self._window is None:
            raise ConfigError(
                "step() is for the inside of `with idlescope.profile(…) as p:`"
            )
        self._end_step()
        self._steps_done += 1
        self._window.before(self._steps_done)
        handle = begin_recorded(f"ProfilerStep#{self._steps_done}")
        if handle is not None:
            self._open_step = OpenStep(threading.get_ident(), handle)

    def __exit__(self, *exception: object) -> None:
        try:
            self._write()
        except (KeyboardInterrupt, SystemExit):
            kept = "nothing was written" if self.trace is None else f"{self.trace} is whole"
            _say(f"interrupted; {kept}")
            raise
        finally:
            self._signals.end()

    def _write(self) -> None:
        """Write the trace, if anything was recorded, and what it tells."""
        window, self._window = self._window, None
        assert window is not None
        self._end_step()
        window.close(self._steps_done)
        if window.path.exists():
            self.trace = window.path
            self._analyse(window.path)
        else:
            self.folder.rmdir()
            _say(
                f"nothing was recorded: the loop made {self._steps_done} steps, "
                f"and the first {window.first} are to warm up"
            )

    def _analyse(self, path: Path) -> None:
        """Analyse the trace that was written, write the report and say the verdicts."""
        try:
            opened_trace = open_trace(path)
            self.analysis = analyze(opened_trace)
            command = f"idlescope analyze {path}"
            with output_folder.added(self.folder) as draft:
                written = trace_report.write_analysis(
                    opened_trace, self.analysis, draft.folder, command
                )
            self.report = draft.placed(written)[0]
        except IdlescopeError as error:
            _say(str(error))
            return
        verdicts = [device.verdict.text for device in self.analysis.results]
        if not verdicts:
            verdicts = [f"no device was seen: {no_device(opened_trace)}"]
        _say(f"{' '.join(verdicts)} ({self.report})")

    def _end_step(self) -> None:
        step, self._open_step = self._open_step, None
        # torch ends a range only in the thread that began it.
        if step is not None and step.thread == threading.get_ident():
            end_recorded(step.handle)


def _say(text: str) -> None:
    print(f"idlescope: {visible(text)}", file=sys.stderr)
