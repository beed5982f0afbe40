"""The CPU device's worker with slow copies in.

What forgets to wait for them reads the inputs of an earlier step.
"""

import time

from idlescope.engine.devices import worker


class SlowWorker(worker.Worker):
    def copy_in(self, slot, words):
        time.sleep(0.004)
        super().copy_in(slot, words)


def main():
    worker.main(SlowWorker)
