"""A loop that does all that a watch is told of, and leaves it as no loop should."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

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


def chaos(watch: Watch, seed: int, calls: int) -> None:
    """Tell a watch so many things, in an order of chance."""
    chance = Random(seed)
    entered: list[Any] = []

    def enter() -> None:
        entered.append(idlescope.range(f"range {chance.randrange(4)}"))
        entered[-1].__enter__()

    def leave() -> None:
        if entered:
            entered.pop(chance.randrange(len(entered))).__exit__(None, None, None)

    def fail() -> None:
        with suppress(ZeroDivisionError), watch.step(), idlescope.range("fail"):
            1 / 0  # noqa: B018

    def launch() -> None:
        with watch.step(1, 2), watch.launching("forward"):
            if chance.random() < 0.2:
                wait()

    def wait() -> None:
        with watch.waiting("tokens"):
            time.sleep(1e-5)

    told = [enter, leave, fail, launch, wait, watch.begin_step, watch.end_step]
    told += [watch.end_phase, watch.end_wait, watch.begin_no_demand, watch.end_no_demand]
    told += [lambda: watch.begin_phase(f"phase {chance.randrange(4)}")]
    for _ in range(calls):
        chance.choice(told)()
    watch.end_wait()
    watch.end_step()
    while watch.rows.open_phases:
        watch.end_phase()
