"""A million of anything, really: `python -m tests.fuzz.crowds [KIND …] [--count N]`.

Each kind is written to a file and given to the command line. It must end within 60 s of processor time and
2 GB, in figures or in a refusal of one sentence. One kind at a time; the exit code is 1 where one does not.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.make import nsys_files
from tests.trace.nsys.small_export import small

MOST_S, MOST_MB, LONGEST_S = 60, 2048, 600
MILLION = 1_000_000
OPERATION = (
    '{{"ph":"X","cat":"kernel","name":"{name}","pid":{device},"tid":{stream},"ts":{ts}.0,"dur":1.0,'
    '"args":{{"device":{device},"stream":{stream},"correlation":{correlation}}}}}'
)
CALL = (
    '{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":{pid},"tid":{tid},"ts":{ts}.0,"dur":1.0,'
    '"args":{{"correlation":{correlation}}}}}'
)
SPAN = '{{"ph":"X","cat":"user_annotation","name":"{name}","pid":{pid},"tid":{tid},"ts":{ts}.0,"dur":{dur}.0}}'


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    cpu_s: float
    wall_s: float
    megabytes: int
    said: str


def _operation(number: int, name: str = "k", device: int = 0, stream: int = 7) -> str:
    return OPERATION.format(
        name=name, device=device, stream=stream, ts=2 * number, correlation=number + 1
    )


def _call(number: int, pid: int = 50, tid: int = 100) -> str:
    return CALL.format(pid=pid, tid=tid, ts=2 * number, correlation=number + 1)


def _span(number: int, name: str = "s", pid: int = 50, tid: int = 100, dur: int = 1) -> str:
    return SPAN.format(name=name, pid=pid, tid=tid, ts=2 * number, dur=dur)


def _kineto(lines: Callable[[int], Iterable[str]]) -> Callable[[Path, int], Path]:
    """Return what writes a Kineto file of so many times some events."""

    def write(folder: Path, count: int) -> Path:
        path = folder / "t.json"
        with path.open("w") as file:
            file.write('{"schemaVersion":1,"traceEvents":[\n')
            for number in range(count):
                file.write(",\n".join(lines(number)) + ",\n")
            file.write(_operation(count) + "\n]}\n")
        return path

    return write


def _members(folder: Path, count: int) -> Path:
    """Write gzip data of so many members, a few bytes each."""
    few = _kineto(lambda number: [_operation(number)])(folder, count // 100)
    text, path = few.read_bytes(), folder / "t.json.gz"
    step = max(1, len(text) // count)
    with path.open("wb") as file:
        for place in range(0, len(text), step):
            file.write(gzip.compress(text[place : place + step], 1, mtime=0))
    return path


def _nsys(**varied: Callable[[int], int]) -> Callable[[Path, int], Path]:
    """Return what writes an export with so many kernels, and a call for each."""

    def write(folder: Path, count: int) -> Path:
        path = small().sqlite(folder / "e.sqlite")
        columns = {
            "deviceId": lambda _: 0,
            "streamId": lambda _: 7,
            "pid": lambda _: 50,
            "tid": lambda _: 50,
        } | varied
        with closing(sqlite3.connect(path)) as database, database:
            kernels, calls = nsys_files.KERNELS, nsys_files.CALLS
            for table in (kernels, calls):
                database.execute(f"DELETE FROM {table}")  # noqa: S608
            process = [columns["pid"](number) << 24 for number in range(count)]
            database.executemany(
                f"INSERT INTO {kernels} (start, end, deviceId, streamId, correlationId, globalPid) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    (
                        10 * n,
                        10 * n + 5,
                        columns["deviceId"](n),
                        columns["streamId"](n),
                        n + 1,
                        process[n],
                    )
                    for n in range(count)
                ),
            )
            database.executemany(
                f"INSERT INTO {calls} (start, end, globalTid, correlationId) VALUES (?, ?, ?, ?)",  # noqa: S608
                (
                    (10 * n, 10 * n + 1, process[n] | columns["tid"](n), n + 1)
                    for n in range(count)
                ),
            )
        return path

    return write


def _recording(entry: str, value: Callable[[int], object]) -> Callable[[Path, int], Path]:
    """Return what writes a recording whose document has so many of an entry."""

    def write(folder: Path, count: int) -> Path:
        from idlescope.trace.open import open_trace
        from idlescope.trace.recording import files

        source = _kineto(lambda number: [_operation(number), _call(number)])(folder, 9)
        files.write(open_trace(source), folder / "r")
        path = folder / "r" / "meta.json"
        document = json.loads(path.read_text())
        document[entry] += [value(number) for number in range(count)]
        path.write_text(json.dumps(document))
        return folder / "r"

    return write


def _zip(folder: Path, count: int) -> Path:
    path = folder / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.json", "{}")
    return path


def _tar(folder: Path, count: int) -> Path:
    path = folder / "t.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"{number}.json"), io.BytesIO())
    return path


def _many_files(name: str, content: str) -> Callable[[Path, int], Path]:
    """Return what writes a folder of so many files, of which thousands are one on the disk."""

    def write(folder: Path, count: int) -> Path:
        place = folder / "many"
        place.mkdir()
        for number in range(count):
            path = place / name.format(number)
            if number % 50_000 == 0:  # more links than a file may have are refused
                first = path
                first.write_text(content)
            else:
                os.link(first, path)
        return place

    return write


WATCHED = json.dumps(
    {"schema": 1, "pid": 1, "url": "http://127.0.0.1:9", "started_unix_ns": 1}
)
ANALYZE = ("analyze",)
KINDS: dict[str, tuple[Callable[[Path, int], Path], tuple[str, ...]]] = {
    "rows": (_kineto(lambda n: [_operation(n)]), ANALYZE),
    "streams": (_kineto(lambda n: [_operation(n, stream=n)]), ANALYZE),
    "names": (_kineto(lambda n: [_operation(n, name=f"kernel {n}")]), ANALYZE),
    "devices": (_kineto(lambda n: [_operation(n, device=n)]), ANALYZE),
    "threads": (_kineto(lambda n: [_call(n, tid=n), _operation(n)]), ANALYZE),
    "threads-of-spans": (_kineto(lambda n: [_span(n, tid=n)]), ANALYZE),
    "pids": (_kineto(lambda n: [_call(n, pid=n)]), ANALYZE),
    "steps": (_kineto(lambda n: [_span(n, name=f"ProfilerStep#{n}")]), ANALYZE),
    "nested": (_kineto(lambda n: [_span(n, dur=4 * MILLION - 4 * n)]), ANALYZE),
    "gzip-members": (_members, ANALYZE),
    "nsys-rows": (_nsys(), ANALYZE),
    "nsys-streams": (_nsys(streamId=lambda n: n), ANALYZE),
    "nsys-devices": (_nsys(deviceId=lambda n: n), ANALYZE),
    "nsys-threads": (_nsys(tid=lambda n: n), ANALYZE),
    "nsys-pids": (_nsys(pid=lambda n: n + 1), ANALYZE),
    "recording-streams": (_recording("streams", str), ANALYZE),
    "recording-names": (_recording("names", str), ANALYZE),
    "recording-threads": (
        _recording("threads", lambda n: {"process": n, "label": str(n)}), ANALYZE,
    ),
    "recording-devices": (
        _recording("devices", lambda n: {"process": 0, "index": n + 1}), ANALYZE,
    ),
    "zip-members": (_zip, ANALYZE),
    "tar-members": (_tar, ANALYZE),
    "files-of-ranks": (_many_files("rank{}.json", "{}"), ANALYZE),
    "watched-processes": (_many_files("{}.json", WATCHED), ("watch", "--for", "1s")),
}  # fmt: skip


def measured(command: tuple[str, ...], path: Path) -> Outcome:
    """Run a command on a path; return how it ended, and what it took."""
    words = [sys.executable, "-m", "idlescope", *command, str(path)]
    if command == ANALYZE:
        words.append("--json")
    out = path.parent / "said"
    begin = time.monotonic()
    with out.open("wb") as said:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        resource.prlimit(child.pid, resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S))
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    text = out.read_bytes().decode(errors="replace").strip()
    return Outcome(
        child.returncode, used.ru_utime + used.ru_stime, time.monotonic() - begin, used.ru_maxrss >> 10, text
    )  # fmt: skip


def wrong(outcome: Outcome) -> str:
    """Return what is wrong with how a command ended; nothing where nothing is."""
    if outcome.cpu_s > MOST_S or outcome.megabytes > MOST_MB:
        return "takes too much"
    if "Traceback" in outcome.said or outcome.code not in (0, 2, 3):
        return f"exit code {outcome.code}"
    return ""


def tried(kind: str, count: int) -> Outcome:
    """Write a crowd of a kind and give it to the command line."""
    write, command = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        return measured(command, write(Path(folder), count))


def main() -> int:
    """Try some kinds; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.crowds", description=__doc__
    )
    parser.add_argument("kind", nargs="*", choices=[*KINDS, []], help="all unless given")
    parser.add_argument("--count", type=int, default=MILLION)
    options = parser.parse_args()
    amiss = False
    for kind in options.kind or KINDS:
        outcome = tried(kind, options.count)
        fault = wrong(outcome)
        amiss |= bool(fault)
        last = outcome.said.splitlines()[-1][:120] if outcome.said else ""
        print(
            f"{kind:18} {outcome.cpu_s:6.1f} s CPU {outcome.wall_s:6.1f} s {outcome.megabytes:6,} MB  "
            f"code {outcome.code}  {fault and fault.upper()}  {last}",
            flush=True,
        )
    return int(amiss)


if __name__ == "__main__":
    sys.exit(main())
