"""What it costs to analyse a folder of ranks: time and memory for 1, 8, 64 and 256 of them.

    pip install -e '.[bench]'            # psutil and traceinsight (HolisticTraceAnalysis)
    python tests/benchmarks/ranks.py [--ranks 1,8,64] [--rounds 1] [--peer 8,64] [--source TRACE.json]
        [--peer-python ti_venv/bin/python] [--peer-rounds 3] [--cores 1,2,4]

Each rank's trace is the same 41 MB (a real one repeated six times, from --shared where it is, else
kineto_trace.py's; or --source), with a rank of its own. Peak memory is that of all processes at
once, in a round of its own. The peer (traceinsight: load, temporal and idle time breakdown) is given
the same folders, for as many ranks as --peer says, where --peer-python has it: both sides by turns,
each a process from start to exit, and the ratios of the medians and of the least. It says nothing of operators and Python
frames, so ours is run with and without them. Where it fails, or
takes longer than --peer-seconds, that is said. The last column is the time per rank: it stays the
same where cost is linear. `--cores 1,2,4` prints instead what one large file costs on so many.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from analyze import IDLESCOPE, ROOT, Files, Run, alternate, compile_checkout, line, measured

LARGE_REPEATED = 48  # times 6.9 MB: one large file
PEER_INTERVAL = (
    0.25  # s between samples of its memory: it takes minutes, and is not held up
)

REPEATED = 6  # times 6.9 MB
HEAD_BYTES = 1 << 20  # what stands before the events is in it
PEER = """
import logging, signal, sys
from pathlib import Path
logging.disable(logging.CRITICAL)
signal.alarm(int(sys.argv[2]))
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
    for rank in range(ranks):
        said = b'"distributedInfo": {"backend": "nccl", "rank": %d, "world_size": %d},'
        path = unfinished / f"rank{rank:03d}.json"
        with source.open("rb") as whole, path.open("wb") as file:
            # What the source says of its own rank would count, and make all files copies of one.
            head = whole.read(HEAD_BYTES).replace(b'"distributedInfo"', b'"ofTheSource"', 1)
            after_brace = head.index(b"{") + 1
            file.write(head[:after_brace] + said % (rank, ranks) + head[after_brace:])
            # Piece by piece: what this process once held counts as its children's peak.
            shutil.copyfileobj(whole, file)
    unfinished.rename(folder)
    return folder


def ours(folder: Path, ranks: int, rounds: int) -> None:
    """Print what a folder costs."""
    command = (*IDLESCOPE, folder)
    os.environ["IDLESCOPE_CACHE"] = "off"
    (first,) = alternate(rounds, command)
    line(f"{ranks} ranks", first, f"{first.seconds / ranks:.3f} s per rank")
    if ranks > 1:
        os.environ["IDLESCOPE_CACHE"] = str(folder.with_suffix(".kept"))
        measured(command)
        line(f"{ranks} ranks, asked again", measured(command))


def compare(folder: Path, ranks: int, chosen: argparse.Namespace) -> None:
    """Print what both sides take for the same folder by turns, and the ratios."""
    seconds = str(chosen.peer_seconds)
    own_commands = {
        "with what the host was in": (*IDLESCOPE, folder),
        "--no-frames, as the peer": (*IDLESCOPE, "--no-frames", folder),
    }
    peer_command = (chosen.peer_python, "-c", PEER, folder, seconds)
    os.environ["IDLESCOPE_CACHE"] = "off"
    own: dict[str, list[Run]] = {name: [] for name in own_commands}
    theirs = []
    try:
        for _ in range(chosen.peer_rounds):
            for name, command in own_commands.items():
                own[name].append(measured(command, watched=False))
            theirs.append(measured(peer_command, watched=False))
        own_mb = {
            name: measured(command).megabytes for name, command in own_commands.items()
        }
        peer_mb = measured(peer_command, interval=PEER_INTERVAL).megabytes
    except SystemExit as failed:
        last_line = str(failed).strip().splitlines()[-1:]
        print(
            f"  {ranks} ranks, traceinsight: failed, or took over {seconds} s: {last_line}"
        )
        return
    print(f"  {ranks} ranks beside traceinsight by turns, {len(theirs)} of them")
    for name, own_runs in own.items():
        print(f"   {name}")
        for figure_name, choose in (("median", statistics.median), ("least", min)):
            wall, cpu = (
                [
                    choose(getattr(run, figure) for run in runs)
                    for runs in (own_runs, theirs)
                ]
                for figure in ("seconds", "cpu")
            )
            print(
                f"    {figure_name:<6} {wall[0]:.2f} s beside {wall[1]:.2f} s: "
                f"{wall[1] / wall[0]:.1f} times; CPU {cpu[0]:.2f} s beside {cpu[1]:.2f} s: "
                f"{cpu[1] / cpu[0]:.1f} times"
            )
        print(
            f"    memory {own_mb[name]:.0f} MB beside {peer_mb:.0f} MB: "
            f"1/{peer_mb / own_mb[name]:.1f}"
        )
    print("    (wanted: 15 times, 1/8)", flush=True)


def one_large_file(source: Path, cores: Sequence[int], rounds: int) -> None:
    """Print what one file costs on so many cores, and whether its figures are the same."""
    print(f"one file of {source.stat().st_size / 1e6:.0f} MB")
    commands = [(*IDLESCOPE, source, "--jobs", str(count)) for count in cores]
    runs = alternate(rounds, *commands)
    for count, run in zip(cores, runs, strict=True):
        same = "the same bytes" if run.output == runs[0].output else "OTHER FIGURES"
        faster = runs[0].seconds / run.seconds
        line(f"{count} processes", run, f"{faster:.2f}x as fast as the first, {same}")


def main() -> None:
    """Measure each number of ranks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,8,64,256")
    parser.add_argument("--peer", default="8,64")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--peer-rounds", type=int, default=3)
    parser.add_argument("--peer-seconds", type=int, default=1800)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cores", default="")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--shared", type=Path, default=ROOT / ".." / "shared")
    chosen = parser.parse_args()
    compile_checkout()
    files = Files(chosen.work, chosen.shared)
    if chosen.cores:
        cores = [int(count) for count in chosen.cores.split(",")]
        large = chosen.source or files.repeated(LARGE_REPEATED)
        one_large_file(large, cores, chosen.rounds)
        return
    source = chosen.source or files.repeated(REPEATED)
    size_mb = source.stat().st_size / 1e6
    print(f"{size_mb:.1f} MB a rank, {os.cpu_count()} cores")
    peers = [int(count) for count in chosen.peer.split(",") if count]
    has_peer = (chosen.peer_python, "-c", "import hta.trace_analysis")
    if peers and subprocess.run(has_peer, capture_output=True, check=False).returncode:
        print(f"{chosen.peer_python} has no traceinsight (--peer-python): no peer")
        peers = []
    for count in map(int, chosen.ranks.split(",")):
        folder = folder_of_ranks(source, chosen.work / source.stem, count)
        ours(folder, count, chosen.rounds)
        if count in peers:
            compare(folder, count, chosen)


if __name__ == "__main__":
    main()
