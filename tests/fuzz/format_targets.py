"""Readers of other profilers' files, and of what is packed."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import format_references, mutate
from tests.fuzz.cases import ONLY_FILE, Files, Target
from tests.fuzz.trace_targets import kineto_document, mutated_database, read
from tests.make import (
    ascend_files,
    dynamo_files,
    perfetto_files,
    rocprof_files,
    rpd_files,
    xla_files,
)
from tests.make.known_work import Known, steps


@cache
def program() -> Known:
    """Return what the seeds hold: two steps on one GPU."""
    return steps(2, fill=rocprof_files.FILL)


def _made(write: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path: Path = write(Path(folder) / "seed", program())
        return path.read_bytes()


@cache
def rpd_file() -> bytes:
    """Return a small RPD file."""
    return _made(rpd_files.write)


@cache
def rocpd_file() -> bytes:
    """Return a small rocpd database."""
    return _made(rocprof_files.rocpd)


@cache
def rocprof_document() -> dict[str, Any]:
    """Return a small JSON document of rocprofv3."""
    return {"rocprofiler-sdk-tool": [rocprof_files.document(program())]}


def rocprof_json(random: Random) -> Files:
    """Return rocprofv3's JSON: values changed, or bytes of it."""
    if random.random() < 0.3:
        return {ONLY_FILE: mutate.of_bytes(mutate.encoded(rocprof_document()), random)}
    return {ONLY_FILE: mutate.encoded(mutate.of_json(rocprof_document(), random))}


def archive(random: Random) -> Files:
    """Return a packed trace, changed."""
    content = mutate.encoded(kineto_document())
    packed = random.choice((_zip, _tar, lzma.compress, _database_in_gzip))(content)
    return {ONLY_FILE: mutate.of_bytes(packed, random)}


def _zip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(zipfile.ZipInfo("folder/t.json"), content)
    return packed.getvalue()


def _tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        entry = tarfile.TarInfo("t.json")
        entry.size = len(content)
        made.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _database_in_gzip(_content: bytes) -> bytes:
    return gzip.compress(rpd_file(), mtime=0)


@cache
def xla_program() -> Known:
    """Return the same, on the clock of a profile of XLA."""
    return steps(2, base=1_000_000_000).renamed(xla_files.NAMES)


def xplane(random: Random) -> Files:
    """Return an XSpace message, changed."""
    return {ONLY_FILE: mutate.of_bytes(xla_files.space(xla_program()), random)}


def xla_json(random: Random) -> Files:
    """Return XLA's JSON: values changed, or bytes of it."""
    document = xla_files.document(xla_program())
    if random.random() < 0.3:
        return {ONLY_FILE: mutate.of_bytes(mutate.encoded(document), random)}
    return {ONLY_FILE: mutate.encoded(mutate.of_json(document, random))}


def perfetto(random: Random) -> Files:
    """Return a Perfetto trace of rocprofv3 or torch, changed."""
    write = random.choice(
        (perfetto_files.rocprof, perfetto_files.torch, perfetto_files.stages)
    )
    return {ONLY_FILE: mutate.of_bytes(write(program()), random)}


def ascend(random: Random) -> Files:
    """Return a trace of Ascend's profiler: values changed, or bytes of it."""
    document = ascend_files.events(
        ascend_files.of_npu(steps(2)), arrows=random.random() < 0.3
    )
    if random.random() < 0.3:
        return {ONLY_FILE: mutate.of_bytes(mutate.encoded(document), random)}
    return {ONLY_FILE: mutate.encoded(mutate.of_json(document, random))}


def dynamo(random: Random) -> Files:
    """Return forward-pass metrics of Dynamo: values of a line changed, or bytes, packed or not."""
    lines = [dynamo_files.record(number) for number in range(4)]
    changed = random.randrange(len(lines))
    lines[changed] = mutate.of_json(lines[changed], random)
    content = b"\n".join(map(mutate.encoded, lines))
    if random.random() < 0.5:
        content = gzip.compress(content, mtime=0)
    return {
        ONLY_FILE: mutate.of_bytes(content, random) if random.random() < 0.5 else content
    }


TARGETS = (
    Target(
        "rpd", ".rpd", lambda random: mutated_database(rpd_file(), random),
        lambda path: read(path, format_references.of_rpd),
    ),
    Target(
        "rocpd", ".db", lambda random: mutated_database(rocpd_file(), random),
        lambda path: read(path, format_references.of_rocpd),
    ),
    Target(
        "rocprof", ".json", rocprof_json, lambda path: read(path, format_references.of_rocprof_json)
    ),
    Target("xplane", ".xplane.pb", xplane, lambda path: read(path, lambda _: None)),
    Target(
        "xla_json", ".trace.json", xla_json, lambda path: read(path, format_references.of_xla_json)
    ),
    Target("perfetto", ".pftrace", perfetto, lambda path: read(path, lambda _: None)),
    Target(
        "ascend", ".json", ascend, lambda path: read(path, format_references.of_ascend)
    ),
    Target("dynamo", ".jsonl", dynamo, lambda path: read(path, lambda _: None)),
    Target("archive", ".packed", archive, lambda path: read(path, lambda _: None)),
)  # fmt: skip
