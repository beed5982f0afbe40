"""Network namespaces of Linux, each joined to another by a pair of interfaces: machines of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple


class Link(NamedTuple):
    """A pair of interfaces: their names and addresses, of a network of their own."""

    first_name: str
    first: str
    second_name: str
    second: str

    @classmethod
    def number(cls, number: int) -> Link:
        """One of the links of this process; addresses of 198.18.0.0/15 are for such tests."""
        network = f"198.18.{os.getpid() % 250}"
        first, second = 4 * number + 1, 4 * number + 2
        names = (
            f"il{os.getpid() % 100_000}a{number}",
            f"il{os.getpid() % 100_000}b{number}",
        )
        return cls(names[0], f"{network}.{first}", names[1], f"{network}.{second}")


def in_namespace(name: str, command: list[str]) -> list[str]:
    """The command that runs another one in a namespace."""
    return ["ip", "netns", "exec", name, *command]


@contextmanager
def namespaces(*names: str) -> Iterator[list[str]]:
    """Namespaces of these names, this process's added. Raises OSError where none may be made."""
    if shutil.which("ip") is None:
        raise OSError("there is no `ip`")
    with ExitStack() as made:
        own = [f"{name}{os.getpid()}" for name in names]
        for name in own:
            _ip("netns", "add", name)
            made.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        yield own


def join(link: Link, first: str | None, second: str) -> None:
    """Join two namespaces, or this process's own and one, by a pair of interfaces."""
    _ip("link", "add", link.first_name, "type", "veth", "peer", "name", link.second_name)
    ends = ((link.first_name, link.first, first), (link.second_name, link.second, second))
    for interface, address, namespace in ends:
        inside = [] if namespace is None else ["-n", namespace]
        if namespace is not None:
            _ip("link", "set", interface, "netns", namespace)
        _ip(*inside, "addr", "add", f"{address}/30", "dev", interface)
        _ip(*inside, "link", "set", interface, "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip() or "ip failed")
