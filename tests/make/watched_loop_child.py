"""A loop that idles on purpose for two thirds of the time, in a process of its own.

`python -m tests.make.watched_loop_child` prints where its watch is served as soon as that knows
something, and runs until it is killed. IDLESCOPE_WATCH_FOLDER is where it lists itself.
"""

from __future__ import annotations

import time

import idlescope
from tests.make.watched_loops import MS, PretendedDevice

STEP_S = 0.03
BUSY_NS = 10 * MS
STEPS_BEFORE = 20

if __name__ == "__main__":
    device = PretendedDevice(length_ns=BUSY_NS)
    watch = idlescope.watch(way=device, engine="a loop that idles", version="1", rank=0)
    launch = 0
    while True:
        with watch.step(tokens=4, requests=4):
            with watch.launching("forward"):
                pass
            launch += 1
            with watch.waiting("tokens"):
                device.wait(launch)
            with idlescope.range("schedule"):
                time.sleep(STEP_S - BUSY_NS / 1e9)
        if launch == STEPS_BEFORE:
            print(watch.state().process.url, flush=True)
