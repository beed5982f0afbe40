"""Make reports/example, reports/first_command.json and the README's pictures of them anew.

`python -m tests.screenshots`; Debian's Chromium takes the pictures.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

import idlescope
from idlescope.cli.actions.run import show
from idlescope.report import perfetto_ui as ui
from idlescope.trace.recording import files
from tests.conftest import browser
from tests.make import perfetto_browser as perfetto_ui
from tests.make.commands import idlescope as idlescope_command

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "reports" / "example"
EXAMPLE_COMMAND = (
    *("run", "--model", "8b", "--tokens", "8192", "--device", "modelled:h200"),
    *("--host-ms", "8.81", "--device-ms", "27.89"),
)
FIRST_COMMAND = ("run", "--model", "8b", "--tokens", "8000")  # of the README
FIRST_SUMMARY = ROOT / "reports" / "first_command.json"
COLUMNS = 92
STEPS_NS = 120_000_000  # of the trace in Perfetto


def take(chromium, folder: Path) -> list[Path]:
    """Write every picture into a folder; return the paths."""
    paths = [
        folder / f"{name}.png" for name in ("terminal", "report", "timeline", "perfetto")
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _terminal(chromium, paths[0])
    page = chromium.new_page(viewport={"width": 1200, "height": 980})
    page.goto((EXAMPLE / "report.html").as_uri())
    page.wait_for_selector("html.drawn")
    page.screenshot(path=paths[1])
    page.emulate_media(color_scheme="dark")
    page.click("#go-longest")
    for _ in range(3):
        page.click("#go-out")
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    page.locator(".beside").screenshot(path=paths[2])
    page.close()
    (result,) = idlescope.analyze(files.read(EXAMPLE / "async.recording")).results
    middle = int(result.operations.start[len(result.operations) // 2])
    shown = ui.shown((middle, middle + STEPS_NS), result)
    with perfetto_ui.served(EXAMPLE) as address:
        asked = ui.address(f"{address}/traces/async.trace.json.gz", shown, ui=address)
        with perfetto_ui.opened_at(chromium, asked) as loaded:
            loaded.page.set_viewport_size({"width": 1400, "height": 1300})
            _select(loaded, middle + STEPS_NS // 2)
            loaded.page.screenshot(
                path=paths[3], clip={"x": 230, "y": 115, "width": 1170, "height": 690}
            )
    return paths


def _terminal(chromium, path: Path) -> None:
    summary = json.loads(FIRST_SUMMARY.read_text(encoding="utf-8"))
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(f"[bold]$[/bold] idlescope {' '.join(FIRST_COMMAND)}")
    show(console, summary, (), verbose=False)
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    page.route(
        "**/*", lambda route: route.abort()
    )  # rich's picture asks for a font, and does without
    page.set_content(console.export_svg(title="idlescope"))
    page.locator("svg").screenshot(path=path)
    page.close()


def make_again() -> None:
    """Run the README's first command, and the command of reports/example, and keep what they say."""
    with tempfile.TemporaryDirectory() as scratch:
        first = idlescope_command(*FIRST_COMMAND, "--json", "--out", Path(scratch) / "o")
    FIRST_SUMMARY.write_text(first.stdout, encoding="utf-8")
    made = idlescope_command(*EXAMPLE_COMMAND, "--out", EXAMPLE, "--force")
    if first.returncode or made.returncode:
        raise RuntimeError(first.stderr + made.stderr)


def _select(loaded: perfetto_ui.Loaded, time_ns: int) -> None:
    """Select a forward pass, so that the arrows to and from it are drawn."""
    query = f"select id from slice where name = 'forward' and ts < {time_ns} order by ts desc limit 1"  # noqa: S608
    ((row,),) = loaded.rows(query, id="n")
    loaded.page.evaluate(f"window.app.trace.selection.selectSqlEvent('slice', {row})")
    loaded.page.wait_for_timeout(4000)


if __name__ == "__main__":
    make_again()
    with browser() as made:
        for picture in take(
            made,
            Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "reports" / "screenshots",
        ):
            print(picture)
