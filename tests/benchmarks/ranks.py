"""What it costs to analyse a folder of ranks: time and memory for 1, 8, 64 and 256 of them.

    pip install -e '.[bench]'            # psutil and traceinsight (HolisticTraceAnalysis)
    python tests/benchmarks/ranks.py [--ranks 1,8,64] [--rounds 1] [--peer 8,64] [--source TRACE.json]

Each rank's trace is the same 41 MB (a real one repeated six times, from --shared where it is, else
kineto_trace.py's; or --source), with a rank of its own. Peak memory is that of the process tree, in
a round of its own. The peer (traceinsight: load, temporal and idle time breakdown) is given the same
folders where it is installed, for as many ranks as --peer says. The last column is the time per
rank: it stays the same where cost is linear.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from analyze import IDLESCOPE, ROOT, Files, Run, alternate, line, measured, ratio

REPEATED = 6  # times 6.9 MB
PEER = """
import logging, sys
from pathlib import Path
logging.disable(logging.CRITICAL)
from hta.trace_analysis import TraceAnalysis
files = {rank: str(path) for rank, path in enumerate(sorted(Path(sys.argv[1]).iterdir()))}
analysis = TraceAnalysis(trace_files=files)
analysis.get_temporal_breakdown(visualize=False)
analysis.get_idle_time_breakdown(ranks=list(files), visualize=False)
"""


def folder_of_ranks(source: Path, work: Path, ranks: int) -> Path:
    """Return a folder with a trace for each rank, made once."""
    folder = work / f"ranks_{ranks}"
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    text = source.read_bytes()
    after_brace = text.index(b"{") + 1
    for rank in range(ranks):
        said = b'"distributedInfo": {"backend": "nccl", "rank": %d, "world_size": %d},'
        with (unfinished / f"rank{rank:03d}.json").open("wb") as file:
            file.write(text[:after_brace] + said % (rank, ranks) + text[after_brace:])
    unfinished.rename(folder)
    return folder


def compare(folder: Path, ranks: int, rounds: int, with_peer: bool) -> Run:
    """Print what a folder costs, beside the peer where it is asked for; return ours."""
    command = (*IDLESCOPE, folder)
    os.environ["IDLESCOPE_CACHE"] = "off"
    (ours,) = alternate(rounds, command)
    line(f"{ranks} ranks", ours, f"{ours.seconds / ranks:.3f} s per rank")
    if ranks > 1:
        os.environ["IDLESCOPE_CACHE"] = str(folder.with_suffix(".kept"))
        measured(command)
        line(f"{ranks} ranks, asked again", measured(command))
    if with_peer:
        theirs = measured((sys.executable, "-c", PEER, folder))
        line(f"{ranks} ranks, traceinsight", theirs)
        ratio(f"{ranks} ranks", ours, theirs, "(wanted: 15x, 1/8)")
    return ours


def main() -> None:
    """Measure each number of ranks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,8,64,256")
    parser.add_argument("--peer", default="8,64")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--shared", type=Path, default=ROOT / ".." / "shared")
    chosen = parser.parse_args()
    source = chosen.source or Files(chosen.work, chosen.shared).repeated(REPEATED)
    size_mb = source.stat().st_size / 1e6
    print(f"{size_mb:.1f} MB a rank, {os.cpu_count()} cores")
    peers = [int(count) for count in chosen.peer.split(",") if count]
    if importlib.util.find_spec("hta") is None:
        print("traceinsight is not installed: no peer")
        peers = []
    for count in map(int, chosen.ranks.split(",")):
        folder = folder_of_ranks(source, chosen.work / source.stem, count)
        compare(folder, count, chosen.rounds, count in peers)


if __name__ == "__main__":
    main()
