"""The watch over HTTP: `/metrics`, `/state` and `POST /record`, on the loopback address.

Answers are made at most twice a second however often they are asked for, and no more connections
are taken than a few a second: a storm of scrapes costs the engine next to nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from idlescope.report.serve import LOOPBACK, POLL_S, BoundedServer, LocalHandler

FRESH_S = 0.5
PER_SECOND = 20.0  # connections
AT_ONCE = 40.0
LOOPBACK_6 = "::1"
PORTS_TRIED = 64  # from the one that was asked for: each process of a server takes one


class Answer(NamedTuple):
    """A body and its content type."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK


class Pages(NamedTuple):
    """What is served: each is made by a call."""

    metrics: Callable[[], Answer]
    state: Callable[[], Answer]
    record: Callable[[], Answer]


class Fresh:
    """Makes an answer anew only where the last one is old."""

    def __init__(self, make: Callable[[], Answer]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._until = 0.0
        self._answer: Answer

    def __call__(self) -> Answer:
        """Return the answer."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:
                self._answer = self._make()
                self._until = now + FRESH_S
            return self._answer


class WatchServer(BoundedServer):
    """Takes few connections a second; the others are closed at once."""

    daemon_threads = True
    allow_reuse_address = False  # a port that another process has is taken

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)
        self._tokens = AT_ONCE
        self._filled = time.monotonic()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer, unless there are too many."""
        now = time.monotonic()
        self._tokens = min(AT_ONCE, self._tokens + PER_SECOND * (now - self._filled))
        self._filled = now
        if self._tokens < 1:
            self.shutdown_request(request)
            return
        self._tokens -= 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked went away."""


def address_of(host: str, port: int) -> str:
    """Return the address at which a server is reached; an IPv6 host stands in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(pages: Pages, host: str, port: int) -> WatchServer:
    """Serve in a thread of its own, on the first free port from `port` on; 0: any.

    Raises OSError where none is free.
    """
    answers = {"/metrics": Fresh(pages.metrics), "/state": Fresh(pages.state)}
    local = host in (LOOPBACK, LOOPBACK_6, "localhost")

    class Handler(LocalHandler):
        def allowed(self) -> bool:
            port = self.server.server_port  # type: ignore[attr-defined]
            if host == LOOPBACK_6 and self.headers.get("Host") == f"[{LOOPBACK_6}]:{port}":
                return True
            # told to listen to others: whoever names it reaches it
            return super().allowed() if local else True

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(HTTPStatus.NOT_FOUND, "ask for /metrics or /state")
            else:
                self._send(answer())

        def do_POST(self) -> None:
            if self.path != "/record":
                self.send_error(HTTPStatus.NOT_FOUND, "post to /record")
            elif self.headers.get("Origin") is not None:
                self.send_error(HTTPStatus.FORBIDDEN, "not for pages of a browser")
            else:
                self._send(pages.record())

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(answer.body)

    server = _bound(Handler, host, port)
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_S,), name="idlescope-serve", daemon=True
    )
    thread.start()
    return server


def _bound(handler: Any, host: str, port: int) -> WatchServer:
    tries = range(port, min(port + PORTS_TRIED, 65_536)) if port else range(1)
    for candidate in tries:
        try:
            return WatchServer((host, candidate), handler)
        except OSError:
            if candidate == tries[-1]:
                raise
    raise OSError(f"no port of {host} from {port} on is free")
