"""Small servers for a browser on this machine: a report's folder, or one trace for the Perfetto UI.

They listen on the loopback address only, and answer requests that name it as their host: a page of
another site whose name is turned to this machine (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import (
    BaseHTTPRequestHandler,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from idlescope.errors import ConfigError

LOOPBACK = "127.0.0.1"
POLL_S = 0.1
MOST_CONNECTIONS = 32  # at once; a browser opens six
REQUEST_S = 30.0  # a connection on which nothing is asked for so long is closed


class Serving:
    """A server that runs in a thread of its own."""

    def __init__(self, server: ThreadingHTTPServer, done: threading.Event) -> None:
        self.port = server.server_port
        self._done = done

    def url(self, name: str) -> str:
        """Return the address of a file."""
        return f"http://{LOOPBACK}:{self.port}/{quote(name)}"

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the server has nothing more to do; return False where time ran out."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._done.wait(POLL_S):  # in short turns: Ctrl-C is heard between them
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return True


@contextmanager
def files(folder: Path, port: int = 0) -> Iterator[Serving]:
    """Serve the files of a folder to GET and HEAD, without listings; port 0 takes a free one.

    Raises ConfigError where the port is taken.
    """
    served_root = folder.resolve()

    class Handler(LocalHandler, SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            asked_file = Path(super().translate_path(path))
            inside = (
                asked_file.is_file() and served_root in asked_file.resolve().parents
            )  # a link may lead out of it
            return str(asked_file) if inside else os.devnull + "/none"

    with _serving(
        lambda *a: Handler(*a, directory=str(served_root)), port, threading.Event()
    ) as serving:
        yield serving


@contextmanager
def once(file: Path, origin: str, port: int) -> Iterator[Serving]:
    """Serve one file, to pages of one origin, until it has been fetched once: `wait` returns then.

    Raises ConfigError where the port is taken.
    """
    was_fetched = threading.Event()

    class Handler(LocalHandler):
        def allowed(self) -> bool:
            if not super().allowed():
                return False
            if self.headers.get("Origin") != origin:
                self.send_error(HTTPStatus.FORBIDDEN, f"only for {origin}")
            elif unquote(urlsplit(self.path).path) != f"/{file.name}":
                self.send_error(HTTPStatus.NOT_FOUND, "no such file")
            else:
                return True
            return False

        def do_OPTIONS(self) -> None:
            self._head(HTTPStatus.NO_CONTENT, 0)

        def do_HEAD(self) -> None:
            self._head(HTTPStatus.OK, file.stat().st_size)

        def do_GET(self) -> None:
            self._head(HTTPStatus.OK, file.stat().st_size)
            with file.open("rb") as source:
                shutil.copyfileobj(source, self.wfile)
            was_fetched.set()

        def _head(self, status: HTTPStatus, length: int) -> None:
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Methods", "GET, HEAD")
            self.send_header(
                "Access-Control-Allow-Private-Network", "true"
            )  # Chrome asks before it leaves the web
            self.send_header("Vary", "Origin")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(length))
            self.end_headers()

    with _serving(Handler, port, was_fetched) as serving:
        yield serving


def open_browser(url: str) -> bool:
    """Open an address in the user's browser; return False where there is none with a window."""
    windows = sys.platform in ("win32", "darwin") or any(
        os.environ.get(variable) for variable in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )
    return windows and webbrowser.open(
        url
    )  # without a window, it would find those that take over the terminal


class BoundedServer(ThreadingHTTPServer):
    """A server with so many threads and no more: what comes beyond them is closed at once."""

    def __init__(
        self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        super().__init__(address, handler)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, where one is free."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and free the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class LocalHandler(BaseHTTPRequestHandler):
    """Answers only requests that are allowed: for this machine by its loopback name."""

    timeout = REQUEST_S

    def allowed(self) -> bool:
        """Return whether a request is answered; where not, an error has been sent."""
        own_port = self.server.server_port  # type: ignore[attr-defined]
        if self.headers.get("Host") in {f"{LOOPBACK}:{own_port}", f"localhost:{own_port}"}:
            return True
        self.send_error(HTTPStatus.FORBIDDEN, "only for this machine")
        return False

    def parse_request(self) -> bool:
        """Return whether a request can be read, and is answered."""
        return super().parse_request() and self.allowed()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server calls it so
        """Keep the terminal for what the user has to know."""


@contextmanager
def _serving(
    handler: Callable[..., BaseHTTPRequestHandler], port: int, done: threading.Event
) -> Iterator[Serving]:
    try:
        server = BoundedServer((LOOPBACK, port), handler)
    except OSError as error:
        raise ConfigError(
            f"port {port} of {LOOPBACK} cannot be served on: {error.strerror or error}"
        ) from error
    with server:
        server.handle_error = lambda request, client_address: None  # type: ignore[method-assign] # it went away
        threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True).start()
        try:
            yield Serving(server, done)
        finally:
            server.shutdown()
