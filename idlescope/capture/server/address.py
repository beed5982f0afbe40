"""The address of one server, as somebody gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from idlescope.errors import ConfigError

KEY_VARIABLE = "IDLESCOPE_API_KEY"


class ServerEngine(str, Enum):
    """Whose server it is."""

    VLLM = "vllm"
    SGLANG = "sglang"


@dataclass(frozen=True)
class Server:
    """A server that can be asked. `address` raises ConfigError where the URL is none."""

    url: str  # what is asked for is below it
    engine: ServerEngine | str  # "": not known
    timeout: float = field(default=300.0, kw_only=True)  # seconds for each answer

    @cached_property
    def address(self) -> SplitResult:
        """The parts of the URL. Raises ConfigError where it is no plain address of a server."""
        try:
            parts = urlsplit(self.url)
            is_address = (
                parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
            )
        except ValueError:
            is_address = False
        printable = self.url.isascii() and self.url.isprintable() and " " not in self.url
        if not is_address or not printable:
            raise ConfigError(
                f"{self.url} is no address of a server: give one like http://localhost:8000"
            )
        if parts.query or parts.fragment or parts.username is not None:
            raise ConfigError(
                f"{parts.hostname}: give the address without user, query and fragment"
            )
        return parts

    def endpoint(self, name: str) -> str:
        """Return the URL of an endpoint."""
        return f"{self.url.rstrip('/')}/{name}"

    def places(self, name: str) -> list[str]:
        """Return the paths where a page may be: below the URL, then at the server's root.

        The profiler's endpoints may be below another path than the counters, as on dynamo's system
        port.
        """
        below = self.address.path.rstrip("/")
        return list(dict.fromkeys((f"{below}/{name}", f"/{name}")))
