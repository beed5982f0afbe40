"""Traces that lie elsewhere: whatever fsspec speaks (s3://, gs://, hf://, https:// …), to be read.

A file is streamed to a folder of its own, which is gone once the trace is read; nothing is ever
written where it came from. What stands in a URL to be let in (names, passwords, signatures) is in
no message and no result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from idlescope.errors import ConfigError, TraceError
from idlescope.trace.other_tools import READ_TOOLS

# A drive of Windows is one letter. Path makes one slash of the two.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,2}([^/].*)$", re.DOTALL)
_FILE_URL = re.compile(
    r"^file:/+([^/].*)$", re.DOTALL | re.IGNORECASE
)  # always from the root
_MAGIC = re.compile(r"[*?\[]")
_HTTP = ("http", "https")
EXTRA = "pip install 'idlescope[remote]'"


def url_of(path: str | Path) -> str | None:
    """Return the URL that a path is; None for a path of this machine."""
    of_file = _FILE_URL.match(str(path))
    if of_file is not None:
        return f"file:///{of_file[1]}"
    match = _URL.match(str(path))
    return f"{match[1].lower()}://{match[2]}" if match else None


def shown(path: str | Path) -> str:
    """Return a path as it may be shown: of a URL without what lets one in."""
    url = url_of(path)
    if url is None:
        return str(path)
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    # outside of HTTP a question mark is part of a pattern, or of a name
    after_place = url.partition("://")[2].removeprefix(parts.netloc)
    inside = parts.path if parts.scheme in _HTTP else after_place
    return f"{parts.scheme}://{place}{inside}"


class RemoteFile(NamedTuple):
    """One trace behind a URL."""

    url: str
    size: int | None  # bytes; None: its server does not say


def files(url: str, suffixes: Sequence[str]) -> list[RemoteFile]:
    """Return the traces of a folder or a pattern behind a URL, in order, to be read one by one.

    [] where it is one file, or where files within cannot be addressed. Raises as `fetched` does.
    """
    file_system, inside = _opened(url)
    with _said(url):
        if not _is_several(file_system, inside, url, suffixes):
            return []
        found = _found(file_system, inside, url, suffixes)
    whole, within = url.rstrip("/"), inside.rstrip("/")
    if not whole.endswith(within):
        return []
    before = whole.removesuffix(within)
    return [RemoteFile(f"{before}{name}", size) for name, size in found.items()]


@contextmanager
def fetched(url: str, suffixes: Sequence[str]) -> Iterator[Path]:
    """Give a copy of a file, or of the traces of a folder or a pattern, for as long as it is read.

    `suffixes` are how names of traces end. Raises TraceError where there is nothing to be had, and
    ConfigError where what speaks the URL is not installed.
    """
    file_system, inside = _opened(url)
    with TemporaryDirectory(prefix="idlescope-") as scratch:
        with _said(url):
            names = _names(file_system, inside, url, suffixes)
            for name in names:
                file_system.get_file(name, str(Path(scratch) / _base(name)))
        alone = names == [inside]
        yield Path(scratch) / _base(names[0]) if alone else Path(scratch)


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the place within it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(f"{shown(url)} is read through fsspec: {EXTRA}") from error
    try:
        file_system, inside = url_to_fs(url)
    except ImportError as error:
        scheme = urlsplit(url).scheme
        raise ConfigError(
            f"{shown(url)}: what speaks {scheme}:// is not installed (of s3:// and https://: "
            f"{EXTRA}; of others fsspec's documentation names the package)"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{shown(url)}: fsspec does not know that kind of URL") from error
    return file_system, str(inside)


def _names(file_system: Any, inside: str, url: str, suffixes: Sequence[str]) -> list[str]:
    """Return the files that are meant, in order."""
    if not _is_several(file_system, inside, url, suffixes):
        return [inside]
    return list(_found(file_system, inside, url, suffixes))


def _found(
    file_system: Any, inside: str, url: str, suffixes: Sequence[str]
) -> dict[str, int | None]:
    """Return the traces of a folder or a pattern by name, and their sizes where these are said."""
    if _has_magic(inside, url):
        found = file_system.glob(inside, detail=True)
    else:
        found = {one["name"]: one for one in file_system.ls(inside, detail=True)}
    sizes = {str(name): stated.get("size") for name, stated in found.items()}
    traces = {
        name: sizes[name] for name in sorted(sizes) if _base(name).endswith(tuple(suffixes))
    }
    if not traces:
        raise TraceError(
            f"{shown(url)} holds no traces, by the names of its files: give {READ_TOOLS}"
        )
    return traces


def _is_several(file_system: Any, inside: str, url: str, suffixes: Sequence[str]) -> bool:
    """Return whether a URL means the files of a folder, or those that a pattern matches."""
    if _has_magic(inside, url) or inside.endswith("/") or url.endswith("/"):
        return True
    if urlsplit(url).scheme in _HTTP:  # any address can be asked for what it lists
        return not _base(inside).endswith(tuple(suffixes))
    return bool(file_system.isdir(inside))


def _has_magic(inside: str, url: str) -> bool:
    path = urlsplit(url).path if urlsplit(url).scheme in _HTTP else inside
    return _MAGIC.search(path) is not None


def _base(name: str) -> str:
    """Return the last part of a file's name, which is no way out of a folder."""
    path = urlsplit(name).path if name.startswith(("http://", "https://")) else name
    base = PurePosixPath(path).name
    return base if base not in ("", ".", "..") else "trace"


@contextmanager
def _said(url: str) -> Iterator[None]:
    """Say what went wrong in one sentence: messages of libraries may hold secrets."""
    try:
        yield
    except (TraceError, ConfigError):
        raise
    except FileNotFoundError as error:
        raise TraceError(f"{shown(url)} does not exist, or may not be seen") from error
    except PermissionError as error:
        raise TraceError(
            f"{shown(url)} may not be read: give the credentials that its library takes from the "
            "environment"
        ) from error
    except Exception as error:
        raise TraceError(
            f"{shown(url)} cannot be fetched ({type(error).__name__}): is it there, and reachable?"
        ) from None
