"""A worker of a sweep: run as a program, it takes configurations by its input and prints cells."""

from __future__ import annotations

import json
import os
import sys
import threading
from queue import SimpleQueue

from idlescope.experiment.config import RunConfig
from idlescope.experiment.sweep import measure


def main() -> None:
    """Run what comes, a line each; end at once when the parent has, also in the midst of a cell."""
    configs: SimpleQueue[str] = SimpleQueue()

    def follow() -> None:
        for line in sys.stdin:
            configs.put(line)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    while True:
        cell = measure(RunConfig(**json.loads(configs.get())))
        answer = {"state": cell.state, "reason": cell.reason, "summary": cell.summary}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
