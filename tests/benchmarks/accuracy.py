"""Idle time as several tools count it, on traces whose idle time is known: a Markdown table.

    pip install -e '.[bench]'            # traceinsight (HolisticTraceAnalysis)
    python tests/benchmarks/accuracy.py [--peer-python PYTHON]

truth         the sum of the gaps that were put into the trace (tests/peer_mistakes.py) count
a brute-force count of the nanoseconds in which nothing runs, from the same operations idlescope
idle_pct of `idlescope analyze --json` traceinsight  idle_time_pctg of traceinsight's temporal
breakdown summed        1 − Σ device time / window: how people read the "Self CUDA" total of
torch.profiler's table linked only   idle of the kernels that have a launch call, the rule of
TraceLens

Every figure is a share of the window from the first operation's start to the last one's end, in per
cent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.peer_mistakes import CASES, Case, Op

PEER = """
import logging, sys
logging.disable(logging.CRITICAL)
from hta.trace_analysis import TraceAnalysis
print(TraceAnalysis(trace_files={0: sys.argv[1]}).get_temporal_breakdown(visualize=False)["idle_time_pctg"][0])
"""
COLUMNS = ("truth", "count", "idlescope", "traceinsight", "summed", "linked only")


def counted(operations: list[Op]) -> float:
    """Return idle by a flag for every nanosecond."""
    low, high = min(o.start for o in operations), max(o.end for o in operations)
    busy = np.zeros(high - low, bool)
    for o in operations:
        busy[o.start - low : o.end - low] = True
    return 100 * (1 - np.count_nonzero(busy) / len(busy))


def summed(case: Case) -> float:
    """Return idle if device time is summed over streams."""
    return 100 * (1 - sum(o.end - o.start for o in case.operations) / case.window_ns)


def output(command: list[str]) -> str:
    """Return what a command printed, or nothing where it failed."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


def idlescope(path: Path) -> float | str:
    """Return what idlescope says, as a user gets it."""
    text = output([sys.executable, "-m", "idlescope", "analyze", "--json", str(path)])
    return json.loads(text)["devices"][0]["idle_pct"] if text else "fails"


def traceinsight(path: Path, python: str) -> float | str:
    """Return what traceinsight says; it reads files of torch.profiler only."""
    if path.suffix != ".json":
        return "–"
    text = output([python, "-c", PEER, str(path)])
    return float(text.splitlines()[-1]) if text else "fails"


def measure(case: Case, folder: Path, python: str) -> list[float | str]:
    """Return the figures of a case, a column each."""
    path = case.write(folder)
    linked = [o for o in case.operations if o.correlation in case.launches]
    return [case.idle_pct, counted(case.operations), idlescope(path), traceinsight(path, python), summed(case),
            counted(linked)]  # fmt: skip


def cell(value: float | str, truth: float) -> str:
    """Return a figure for the table, bold where it is wrong by more than 0.05 of a per cent of the window."""
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".replace("-", "−")
    return text if abs(value - truth) <= 0.05 else f"**{text}**"


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python that has traceinsight"
    )
    python = parser.parse_args().peer_python
    print(f"| idle, % | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for make in CASES:
        case = make()
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(case, Path(folder), python)
        print(f"| {case.title} | {' | '.join(cell(f, case.idle_pct) for f in figures)} |")


if __name__ == "__main__":
    main()
