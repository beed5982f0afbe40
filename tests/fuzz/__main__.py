"""Fuzz every reader: `python -m tests.fuzz --minutes 60 --seed 7`, or `--cases 20000`.

Each mutant must end in figures, which those of the brute-force reference are where nothing was told to
be amiss, or in one sentence, within 10 seconds. What does not is made smaller and kept in --finds; the
exit code is 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

from idlescope.cli import GARBAGE_THRESHOLD
from tests.fuzz import format_targets, other_targets, trace_targets, watch_targets
from tests.fuzz.cases import (
    LONGEST_S,
    LONGEST_WAIT_S,
    Find,
    Target,
    minimised,
    packed,
    tried,
)

TARGETS = (
    *trace_targets.TARGETS,
    *format_targets.TARGETS,
    *other_targets.TARGETS,
    *watch_targets.TARGETS,
)
# how often a reader is tried in one round, the others MOST_TURNS times: those that write a database, or
# tables, and analyse them take ten to a hundred times longer than those of a document
TURNS = {
    "parquet": 1,
    "notes": 1,
    "ranks": 1,
    "own": 2,
    "sqlite": 2,
    "rpd": 2,
    "rocpd": 2,
    "kineto": 3,
    "gzip": 3,
    "recording": 3,
    "archive": 3,
    "xla_json": 3,
    "perfetto": 3,
    "ascend": 3,
    "watched": 2,
    "history": 4,
    "dynamo": 4,
    "cell": 4,
    "rocprof": 7,
    "xplane": 6,
}
MOST_TURNS = 16  # an odd number of turns in all: two processes both have all readers
PROGRESS = 20_000  # cases between two lines that say how far it is
MEMORY = 4 << 30  # bytes of address space, the libraries' own among them
PLACES = ("/dev/shm", tempfile.gettempdir())  # noqa: S108 - the first is memory


def main() -> int:
    """Fuzz; return the exit code."""
    options = _options()
    if options.jobs > 1 and options.first is None:
        return _side_by_side(options.jobs)
    options.first = options.first or 0
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    turns = _turns(options)
    # as the command line has it: looking for cycles of garbage takes a tenth of the time
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    finds: dict[str, Find] = {}
    tried_cases: Counter[str] = Counter()
    begin, number = time.monotonic(), options.first
    with (
        contextlib.suppress(KeyboardInterrupt),  # what was tried until then is said
        tempfile.TemporaryDirectory(dir=next(filter(os.path.isdir, PLACES))) as scratch,
    ):
        while not _is_over(options, begin, number):
            target = turns[number % len(turns)]
            # for what no signal reaches: a loop in C ends the campaign, and says where it is; its
            # mutant is the newest file of the scratch folder, which stays then
            faulthandler.dump_traceback_later(LONGEST_WAIT_S + LONGEST_S, exit=True)
            find = case(target, options.seed, number, Path(scratch))
            number += options.jobs
            tried_cases[target.name] += 1
            if find is not None and find.signature not in finds:
                find = minimised(target, find, Path(scratch)) if options.finds else find
                finds[find.signature] = find
                print(
                    f"case {number - options.jobs}, {target.name}: {find.signature}",
                    flush=True,
                )
                _keep(find, options.finds)
            if tried_cases.total() % PROGRESS == 0:
                _say_progress(tried_cases.total(), begin)
    faulthandler.cancel_dump_traceback_later()
    _say_result(tried_cases, begin, options.seed, len(finds))
    return 1 if finds else 0


def _say_progress(tried_cases: int, begin: float) -> None:
    seconds = time.monotonic() - begin
    print(f"{tried_cases:,} cases in {seconds:.0f} s", file=sys.stderr, flush=True)


def _say_result(tried_cases: Counter[str], begin: float, seed: int, kinds: int) -> None:
    seconds = time.monotonic() - begin
    readers = ", ".join(f"{name} {cases:,}" for name, cases in tried_cases.most_common())
    print(f"of each reader: {readers}")
    print(
        f"{tried_cases.total():,} cases in {seconds:.0f} s, seed {seed}: "
        f"{kinds} kinds of fault"
    )


def _side_by_side(jobs: int) -> int:
    """Share the cases out among so many processes; return the exit code."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--first", str(first)]
        )
        for first in range(jobs)
    ]
    return max(process.wait() for process in processes)


def _turns(options: argparse.Namespace) -> list[Target]:
    """Return the readers in the order in which they are tried, again and again."""
    targets = [
        target for target in TARGETS if target.name in (options.target or target.name)
    ]
    if options.minutes is not None:
        return targets
    return [
        target
        for turn in range(MOST_TURNS)
        for target in targets
        if turn < TURNS.get(target.name, MOST_TURNS)
    ]


def case(target: Target, seed: int, number: int, folder: Path) -> Find | None:
    """Make and try one mutant: the same for the same seed and number."""
    return tried(target, target.mutant(Random(f"{seed} {number}")), folder)


def _is_over(options: argparse.Namespace, begin: float, number: int) -> bool:
    if options.cases is not None and number >= options.cases:
        return True
    return options.minutes is not None and time.monotonic() - begin >= 60 * options.minutes


def _keep(find: Find, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(find.signature.encode()).hexdigest()[:8]
        (folder / f"{find.target}-{digest}.case").write_bytes(packed(find))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long")
    parser.add_argument(
        "--cases", type=int, help="or how many; 20000 unless either is given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--target", action="append", help="only this reader; may be given again"
    )
    parser.add_argument("--finds", type=Path, help="folder to keep minimised finds in")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes to share them out among"
    )
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)  # case of one of them
    options = parser.parse_args()
    if options.minutes is None and options.cases is None:
        options.cases = 20_000
    return options


if __name__ == "__main__":
    sys.exit(main())
