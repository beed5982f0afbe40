"""What it costs to analyse a trace: `idlescope analyze` against the peers' tools on the same files.

    pip install -e '.[bench]'            # psutil and traceinsight (HolisticTraceAnalysis)
    python tests/benchmarks/analyze.py [--parts big,growth,nsys,small] [--rounds 3]

Every run is a process of its own, from start to exit; the sides alternate, and medians are printed.
Peak memory is that of the process tree, in a round of its own, since watching takes time from what
is watched: every 5 ms, the resident set of the process or, where it has children, the proportional
set sizes of all (pages that they share count once); and at least what the kernel itself reports as
the largest process's peak.

big     331 MB, 1.18 million events: idlescope against traceinsight (load, temporal breakdown, idle
time breakdown) growth  41 MB to 1.3 GB: CPU time a megabyte; and memory with --no-frames, as host
events grow and the GPU's do not nsys    a million kernels and a million API rows in SQLite, beside
one SQL query in the shape of NVIDIA's gap rule small   a trace of 34 kB: the whole command

Traces are made once, under --work, by repeating a real one from --shared where it is, else by
kineto_trace.py.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import kineto_trace
import psutil

ROOT = Path(__file__).resolve().parents[2]
IDLESCOPE = (sys.executable, "-m", "idlescope", "analyze", "--json")
PEER = """
import logging, sys
logging.disable(logging.CRITICAL)
from hta.trace_analysis import TraceAnalysis
analysis = TraceAnalysis(trace_files={0: sys.argv[1]})
idle = analysis.get_temporal_breakdown(visualize=False)["idle_time_pctg"][0]
analysis.get_idle_time_breakdown(visualize=False)
print(idle)
"""
# The shape of the gap rule of nsys's expert system: each kernel against the one that started before
# it on its device.
GAP_RULE = """
import sqlite3, sys
query = '''
SELECT deviceId, previous, start - previous AS gap FROM (
    SELECT deviceId, start, LAG("end") OVER (PARTITION BY deviceId ORDER BY start) AS previous
    FROM CUPTI_ACTIVITY_KIND_KERNEL)
WHERE gap > 500000000 ORDER BY gap DESC LIMIT 50'''
print(len(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(query).fetchall()))
"""
INTERVAL = 0.005  # s between samples of memory


class Run(NamedTuple):
    """One measured process."""

    seconds: float
    cpu: float  # seconds, of its children too
    megabytes: float
    output: str


def compile_checkout() -> None:
    """Leave byte code beside this checkout's modules, as an installation does.

    Where Python is told to write none, each run would compile 190 modules. The peer is installed.
    """
    compileall.compile_dir(ROOT / "idlescope", quiet=1)


def resident(process: psutil.Process) -> int:
    """Return the bytes of memory that a process and its descendants hold now."""
    try:
        tree = [process, *process.children(recursive=True)]
        return (
            tree[0].memory_info().rss
            if len(tree) == 1
            else sum(p.memory_full_info().pss for p in tree)
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def measured(
    command: Sequence[str | os.PathLike[str]],
    watched: bool = True,
    interval: float = INTERVAL,
) -> Run:
    """Run a command to its end. This process stays small: a child's reported peak begins at its parent's."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
        process, peak = psutil.Process(child.pid), 0
        while not (ended := os.wait4(child.pid, os.WNOHANG if watched else 0))[0]:
            peak = max(peak, resident(process))
            time.sleep(interval)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(ended[1])
        out.seek(0)
        err.seek(0)
        if child.returncode:
            sys.exit(
                f"{' '.join(map(str, command[:5]))} …: exit {child.returncode}\n{err.read().decode()[-2000:]}"
            )
        used = ended[2]
        peak = max(peak, used.ru_maxrss * 1024)
        return Run(seconds, used.ru_utime + used.ru_stime, peak / 1e6, out.read().decode())


def medians(runs: Sequence[Run]) -> Run:
    """Return the median of each figure, and the last output."""
    *figures, outputs = zip(*runs, strict=True)
    return Run(*map(statistics.median, figures), outputs[-1])


def alternate(rounds: int, *commands: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Return the medians of each command, run by turns; their memory is that of one more turn."""
    turns = [
        [measured(command, watched=False) for command in commands] for _ in range(rounds)
    ]
    memory = [measured(command).megabytes for command in commands]
    return [
        medians(runs)._replace(megabytes=mb)
        for *runs, mb in zip(*turns, memory, strict=True)
    ]


def line(label: str, run: Run, note: str = "") -> None:
    """Print one side's medians."""
    print(
        f"  {label:<26} {run.seconds:>7.2f} s ({run.cpu:.2f} s CPU) {run.megabytes:>6.0f} MB  {note}",
        flush=True,
    )


def ratio(label: str, ours: Run, theirs: Run, target: str = "") -> None:
    """Print how many times faster and smaller ours is."""
    faster, smaller = theirs.seconds / ours.seconds, theirs.megabytes / ours.megabytes
    print(f"  ratio, {label}: {faster:.1f}x faster, 1/{smaller:.1f} of the memory {target}")


def idle_pct(run: Run) -> str:
    """Return what idlescope printed as idle."""
    return f"idle {json.loads(run.output)['devices'][0]['idle_pct']:.2f} %"


class Files:
    """The traces, made once."""

    def __init__(self, work: Path, shared: Path) -> None:
        self.work, self.traces, self.repeat = (
            work,
            shared / "traces",
            shared / "tools" / "repeat_trace.py",
        )
        work.mkdir(parents=True, exist_ok=True)

    def repeated(self, times: int) -> Path:
        """Return a trace of 6.9 MB times so much: a real one repeated, or a synthetic one of its shape."""
        source = self.traces / "vllm_prefill_eager_b200.json.gz"
        real = source.exists() and self.repeat.exists()
        path = self.work / f"{'vllm' if real else 'synthetic'}_{times}.json"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            if real:
                subprocess.run(
                    [sys.executable, self.repeat, source, unfinished, str(times)],
                    check=True,
                    capture_output=True,
                )
            else:
                kineto_trace.make(unfinished, steps=times)
            unfinished.rename(path)
        return path

    def framed(self, frames: int) -> Path:
        """Return a trace of 4,000 kernels with so many Python frames a kernel."""
        path = self.work / f"frames_{frames}.json"
        return (
            path
            if path.exists()
            else kineto_trace.make(path, steps=40, kernels=100, frames=frames)
        )

    def database(self, kernels: int) -> Path:
        """Return an nsys export of so many kernels."""
        import nsys_database

        path = self.work / f"nsys_{kernels}.sqlite"
        if not path.exists():
            nsys_database.make(path, kernels)
        return path

    def small(self) -> Path:
        """Return the smallest real trace."""
        path = self.traces / "sglang_qwen3_8b_decode_mi300x.json.gz"
        return (
            path
            if path.exists()
            else ROOT / "tests" / "fixtures" / "transformers_sync.json.gz"
        )


def big(files: Files, options: argparse.Namespace) -> None:
    """Compare with traceinsight on a large trace."""
    path = files.repeated(48)
    print(f"big: {path.name}, {path.stat().st_size / 1e6:.0f} MB")
    ours, theirs = alternate(
        options.rounds, (*IDLESCOPE, path), (options.peer_python, "-c", PEER, path)
    )
    line("idlescope analyze --json", ours, idle_pct(ours))
    line("traceinsight", theirs, f"idle {float(theirs.output):.2f} %")
    ratio("big", ours, theirs, "(target: 15x, 1/8)")


def growth(files: Files, options: argparse.Namespace) -> None:
    """Show that time grows with the file and memory, without frames, less than host events."""
    print("growth of time")
    start = medians([measured((*IDLESCOPE, files.small())) for _ in range(3)]).cpu
    paths = [files.repeated(times) for times in (6, 48, 192)]
    rates = []
    for path, run in zip(
        paths, alternate(options.rounds, *((*IDLESCOPE, p) for p in paths)), strict=True
    ):
        megabytes = path.stat().st_size / 1e6
        rates.append(
            1e3 * (run.cpu - start) / megabytes
        )  # other programs disturb CPU time less
        line(
            f"{megabytes:.0f} MB",
            run,
            f"{rates[-1]:.2f} ms CPU a MB beyond the {start:.2f} s of a small trace",
        )
    print(f"  ratio, growth: {rates[1] / rates[0]:.2f} and {rates[2] / rates[1]:.2f} of the CPU time a MB at "
          "8 and 4 times the size (target: 1.10)")  # fmt: skip
    print("growth of memory, 4,000 kernels, --no-frames")
    counts = (30, 120, 480)
    paths = [files.framed(frames) for frames in counts]
    runs = alternate(options.rounds, *((*IDLESCOPE, "--no-frames", p) for p in paths))
    for frames, path, run in zip(counts, paths, runs, strict=True):
        line(
            f"{frames} frames a kernel", run, f"{path.stat().st_size / 1e6:.0f} MB of JSON"
        )
    more, files_grew = (
        runs[-1].megabytes / runs[0].megabytes,
        paths[-1].stat().st_size / paths[0].stat().st_size,
    )
    print(f"  ratio, memory: {more:.2f}x at {counts[-1] / counts[0]:.0f}x the frames, {files_grew:.0f}x the file "
          "(target: sub-linear)")  # fmt: skip


def nsys(files: Files, options: argparse.Namespace) -> None:
    """Compare a whole analysis of an nsys database with one window query over its kernels."""
    path = files.database(1_000_000)
    print(f"nsys: {path.name}, {path.stat().st_size / 1e6:.0f} MB")
    ours, theirs = alternate(
        options.rounds, (*IDLESCOPE, path), (sys.executable, "-c", GAP_RULE, path)
    )
    line("idlescope analyze --json", ours, f"{idle_pct(ours)} (target: 4 s)")
    line("a query like gpu_gaps", theirs, f"{theirs.output.strip()} gaps over its 500 ms")
    print(f"  ratio, nsys: {ours.seconds / theirs.seconds:.1f}x the time of the query")


def small(files: Files, options: argparse.Namespace) -> None:
    """Time the whole command on a small trace."""
    path = files.small()
    print(f"small: {path.name}, {path.stat().st_size / 1e3:.0f} kB")
    commands = [(*IDLESCOPE, path), (options.peer_python, "-c", PEER, path)]
    ours, theirs = alternate(5, *commands)
    line("idlescope analyze --json", ours, f"{idle_pct(ours)} (target: 0.8 s)")
    line("traceinsight", theirs, f"idle {float(theirs.output):.2f} %")
    ratio("small", ours, theirs)


PARTS = {"big": big, "growth": growth, "nsys": nsys, "small": small}


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--shared",
        type=Path,
        default=ROOT.parent / "shared",
        help="where the real traces are",
    )
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "idlescope-bench"
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python that has traceinsight"
    )
    options = parser.parse_args()
    compile_checkout()
    files = Files(options.work, options.shared)
    for name in options.parts.split(","):
        PARTS[name](files, options)


if __name__ == "__main__":
    main()
