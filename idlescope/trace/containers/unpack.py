"""Unpack a file or an archive into a folder, within bounds."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from idlescope.errors import TraceError
from idlescope.trace.containers.recognise import Packing
from idlescope.trace.expansion import refuse_bomb

PIECE_BYTES = 1 << 20
MOST_MEMBERS = 10_000
LONGEST_REASON = 200  # characters of a library's; zip's quotes the file at any length
SPARE_BYTES = 1 << 28  # of the disk, left to others


@dataclass
class Unpacked:
    """What was unpacked of one file so far."""

    path: Path
    bytes_written: int = 0

    def count(self, piece_bytes: int, folder: Path) -> None:
        """Count what was written; raise TraceError where it is far more than a trace."""
        self.bytes_written += piece_bytes
        refuse_bomb(self.path, self.path.stat().st_size, self.bytes_written)
        if shutil.disk_usage(folder).free < SPARE_BYTES:
            raise TraceError(
                f"{self.path} needs more room than {folder.parent} has to be unpacked: set TMPDIR "
                "to a larger place, or unpack it yourself"
            )


def unpack(path: Path, packing: Packing, folder: Path) -> Path:
    """Unpack a file into an empty folder; return the file in it, or the folder of an archive.

    Names within an archive are cut to their last part. Raises TraceError where it is damaged, or
    unpacks to far more than a trace does.
    """
    unpacked = Unpacked(path)
    with _damage_of(path):
        if packing.is_archive:
            members = _of_zip if packing is Packing.ZIP else _of_tar
            return _unpack_members(members(path), unpacked, folder)
        target = folder / _inner_name(path)
        with _STREAMS[packing](path) as stream:
            _write(stream, target, unpacked)
        return target


def _unpack_members(
    members: Iterator[tuple[str, IO[bytes]]], unpacked: Unpacked, folder: Path
) -> Path:
    """Write the files of an archive; return the only one, or the folder of several."""
    written: list[Path] = []
    for name, stream in members:
        if len(written) == MOST_MEMBERS:
            raise TraceError(
                f"{unpacked.path} holds over {MOST_MEMBERS:,} files: give an archive of traces only"
            )
        base = PurePosixPath(name.replace("\\", "/")).name
        # names that differ only in their folder are numbered
        target = folder / base
        if target.exists():
            target = folder / f"{len(written)}_{base}"
        _write(stream, target, unpacked)
        written.append(target)
    if not written:
        raise TraceError(f"{unpacked.path} is an archive without files: put traces into it")
    return written[0] if len(written) == 1 else folder


def _write(stream: IO[bytes], target: Path, unpacked: Unpacked) -> None:
    with target.open("wb") as output:
        while piece := stream.read(PIECE_BYTES):
            unpacked.count(len(piece), target.parent)
            output.write(piece)


def _inner_name(path: Path) -> str:
    """Return the name of what is in a packed file: without the last suffix."""
    return path.stem if path.suffix else f"{path.name}.unpacked"


def _of_zip(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and _is_wanted(entry.filename):
                with archive.open(entry) as stream:
                    yield entry.filename, stream


def _of_tar(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, "r:") as archive:
        for entry in archive:
            # links and devices lead out of the archive
            stream = archive.extractfile(entry) if entry.isreg() else None
            if stream is not None and _is_wanted(entry.name):
                with stream:
                    yield entry.name, stream


def _is_wanted(name: str) -> bool:
    """Return whether a file is one that someone put there: macOS adds hidden ones."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and not parts[-1].startswith(".") and "__MACOSX" not in parts


def _gzip(path: Path) -> Any:
    import gzip

    return gzip.open(path)


def _xz(path: Path) -> Any:
    import lzma

    return lzma.open(path)


def _bzip2(path: Path) -> Any:
    import bz2

    return bz2.open(path)


def _arrow(codec: str) -> Callable[[Path], Any]:
    """Return what opens a stream of a codec that Python's own library has not."""

    def opened(path: Path) -> Any:
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(str(path)), codec)

    return opened


_STREAMS: dict[Packing, Callable[[Path], Any]] = {
    Packing.GZIP: _gzip,
    Packing.XZ: _xz,
    Packing.BZIP2: _bzip2,
    Packing.ZSTD: _arrow("zstd"),
    Packing.LZ4: _arrow("lz4"),
}


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Say what is wrong with a packed file in one sentence."""
    try:
        yield
    except TraceError:
        raise
    except NotImplementedError as error:  # of zip: a method that Python does not know
        raise TraceError(
            f"{path} cannot be unpacked ({error}): unpack it yourself, and give what is in it"
        ) from error
    except RuntimeError as error:  # of zip: it is encrypted
        raise TraceError(
            f"{path} cannot be unpacked ({error}): unpack it yourself, and give what is in it"
        ) from error
    except Exception as error:  # each library has errors of its own
        reason = str(getattr(error, "strerror", None) or error)[:LONGEST_REASON]
        raise TraceError(
            f"{path} cannot be unpacked ({reason}): it is damaged, or was cut off; copy it again"
        ) from error
