"""Sweep 4 models × 6 batch sizes × 2 modes at 500 tokens on the modelled H200: how long it takes, and what jobs give.

    python tests/benchmarks/sweep.py [--tokens 500]

command      `idlescope sweep` as a user starts it, the host's time measured: start-up, tables and
heat maps included alone        the cells of the same grid with a fixed host cost, one after the
other in this process side by side the same in as many processes as there are cores, start-up of the
processes included
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from idlescope.cli.actions.sweep import cores
from idlescope.experiment.cells import CellState, grid
from idlescope.experiment.sweep import sweep

MODELS = ["qwen3-0.6b", "1b", "3b", "8b"]
BATCHES = [1, 8, 32, 64, 128, 256]


def command(tokens: int) -> float:
    """Return the seconds of the whole command."""
    batches = ",".join(map(str, BATCHES))
    options = [
        "--model",
        ",".join(MODELS),
        "--batch-size",
        batches,
        "--device",
        "modelled",
        "--tokens",
        str(tokens),
    ]
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "idlescope", "sweep", *options, "--out", folder]
        start = time.perf_counter()
        subprocess.run(
            words, check=True, capture_output=True, cwd=Path(__file__).resolve().parents[2]
        )
        return time.perf_counter() - start


def cells(tokens: int, jobs: int) -> float:
    """Return the seconds of the cells alone, host cost fixed."""
    configs = grid(MODELS, ["modelled"], [3.0], BATCHES, tokens=tokens)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        assert all(
            cell.state == CellState.DONE for cell in sweep(configs, Path(folder), jobs)
        )
        return time.perf_counter() - start


def main() -> None:
    """Print a line each, and the ratio of the last two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=500)
    tokens, jobs = parser.parse_args().tokens, cores()
    print(
        f"{len(MODELS)} models x {len(BATCHES)} batch sizes x 2 modes, {tokens} tokens, {jobs} cores"
    )
    print(f"command       {command(tokens):6.1f} s")
    alone, beside = cells(tokens, 1), cells(tokens, jobs)
    print(f"alone         {alone:6.1f} s")
    print(f"side by side  {beside:6.1f} s: {alone / beside:.2f} times faster")


if __name__ == "__main__":
    main()
