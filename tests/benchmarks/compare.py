"""Of two recordings of one configuration, how often is no difference found; of a planted one, how often is it found?

    python tests/benchmarks/compare.py [--trials 200] [--planted 1.03]

Recordings are made (`tests/make/noisy_recordings.py`) as noisy as runs of the engine on a busy
2-core machine: steps vary by 15 %, neighbouring ones alike, one in a hundred has an update three
times as long. The planted regression is one phase, `prepare`, 17 % of the time a step, that takes 3
% longer. In the last lines the recordings are runs of the engine on this machine (a modelled GPU;
the host really works and is really timed): shares there depend on what else runs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rich.progress import track

import idlescope
from idlescope.analysis.comparison.breakdown import Breakdown
from idlescope.analysis.comparison.compare import compare
from idlescope.analysis.comparison.read import read
from tests.make.noisy_recordings import recording

CASES = (  # recordings a side, steps of each, spread from step to step, spread from run to run, synchronous or not
    ("1 a side, as long as the published run", 1, 8192, 0.15, 0.0, False),
    ("1 a side, steps that vary less", 1, 1000, 0.05, 0.0, False),
    ("1 a side, asynchronous: the phase is hidden", 1, 1000, 0.05, 0.0, True),
    ("1 a side, runs differ by 0.3 %", 1, 2000, 0.05, 0.003, False),
    ("5 a side, runs differ by 0.5 %", 5, 1000, 0.05, 0.005, False),
)
RUNS = 100
QUIET = not sys.stdout.isatty()


def shares(
    make: Callable[[int, int, dict[str, float]], Sequence[Breakdown]],
    trials: int,
    planted: float,
    hidden: bool,
):
    """Return how often nothing was found where nothing is, and `prepare` where it is planted, in per cent."""
    name = "host work: prepare" if hidden else "idle: host: prepare"
    same = [
        make(trial, 0, {})
        for trial in track(range(trials + 1), "recording", transient=True, disable=QUIET)
    ]
    quiet = [
        compare(*pair).verdict.kind == "no difference" for pair in itertools.pairwise(same)
    ]
    found = []
    for trial in track(range(trials), "planting", transient=True, disable=QUIET):
        c = compare(same[trial], make(trial, 1, {"prepare": planted}))
        found.append(any(x.different for x in (*c.parts, *c.figures) if x.name == name))
    return 100 * sum(quiet) / trials, 100 * sum(found) / trials


def run_once() -> Breakdown:
    config = idlescope.RunConfig(
        model="8b", device="modelled:h200", tokens=400, mode="sync"
    )
    return read(idlescope.run(config).modes["sync"].analysis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--planted", type=float, default=1.03)
    options = parser.parse_args()
    print(f"{options.trials} trials each; planted: prepare × {options.planted:g}")
    print(f"{'':48}  no difference   found")
    for label, count, steps, spread, between, hidden in CASES:

        def make(trial: int, which: int, factors: dict[str, float]) -> list[Breakdown]:
            return [
                read(recording((trial, which, i), steps, spread=spread, between=between, factors=factors,  # noqa: B023
                               asynchronous=hidden))  # noqa: B023
                for i in range(count)  # noqa: B023
            ]  # fmt: skip

        quiet, found = shares(make, options.trials, options.planted, hidden)
        print(f"{label:48}  {quiet:11.1f} %  {found:5.1f} %", flush=True)
    run_once()  # the first warms up
    runs = [
        run_once() for _ in track(range(RUNS + 1), "running", transient=True, disable=QUIET)
    ]
    quiet = [
        compare(*pair).verdict.kind == "no difference" for pair in itertools.pairwise(runs)
    ]
    print(
        f"{f'{RUNS} runs of the engine here, 1 a side':48}  {100 * sum(quiet) / len(quiet):11.1f} %"
    )
    quiet = [
        compare(runs[i : i + 10 : 2], runs[i + 1 : i + 10 : 2]).verdict.kind
        == "no difference"
        for i in range(0, RUNS - 9, 5)
    ]
    print(f"{'the same, 5 a side by turns':48}  {100 * sum(quiet) / len(quiet):11.1f} %")


if __name__ == "__main__":
    main()
