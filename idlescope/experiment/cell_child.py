"""A worker of a sweep: run as a program, it takes configurations by its input and prints cells."""

from __future__ import annotations

import json

from idlescope.children.lifeline import lines_of_parent
from idlescope.experiment.config import RunConfig
from idlescope.experiment.sweep import measure


def main() -> None:
    """Run what comes, a line each; end at once when the parent has, also in the midst of a cell."""
    for line in lines_of_parent():
        cell = measure(RunConfig(**json.loads(line)))
        answer = {"state": cell.state, "reason": cell.reason, "summary": cell.summary}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
