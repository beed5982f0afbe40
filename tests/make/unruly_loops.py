"""A loop that does all that a watch is told of, and leaves it as no loop should."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress

import idlescope
from idlescope.watching.watch import Watch


def unruly_steps(watch: Watch, steps: int) -> None:
    """Make steps of a watch: phases nested, abandoned and left in another order than entered."""
    left_open = streamed()
    for number in range(steps):
        with suppress(ZeroDivisionError), watch.step(tokens=4, requests=4 - number % 5):
            with idlescope.range("prepare"):
                next(left_open)  # its phase began within this one, and ends after it
                watch.begin_phase("fill")
                gc.collect(0)
                with idlescope.range("pack"):
                    pass
                watch.end_phase()
            with watch.launching("forward"), watch.launching("replay"):
                pass
            next(left_open, None)
            with watch.waiting("tokens"):
                pass
            left_open = streamed()
            with idlescope.range("update"), idlescope.range("stop"):
                1 / (number % 3)
        if number % 4 == 3:
            with watch.no_demand():
                watch.begin_phase("forgotten")
            watch.end_phase()
            watch.begin_step()  # which nobody ends


def streamed() -> Iterator[None]:
    """Yield within a phase."""
    with idlescope.range("stream"):
        yield
