"""The CPU device's worker with long steps, as those of a GPU: a host that is descheduled is still early."""

import time

from idlescope.engine.devices import worker


class LongWorker(worker.Worker):
    def compute(self, slot, words):
        super().compute(slot, words)
        time.sleep(0.04)


def main():
    worker.main(LongWorker)
