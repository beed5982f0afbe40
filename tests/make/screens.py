"""What commands print at several widths, beside what they are known to print.

`python -m tests.make.screens` writes the files of tests/cli/screens anew: look at what changed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.conftest import FIXTURES
from tests.make.commands import idlescope
from tests.make.servers import FakeServer, serving
from tests.make.undrawn import figures_undrawn
from tests.make.watched_states import example, page

SCREENS = Path(__file__).parents[1] / "cli" / "screens"
WIDTHS = (60, 80, 200)
TRACES = (
    "vllm_8b_sync.json.gz",
    "transformers_sync.json.gz",
    "loop_sync.json.gz",
    "loop_item.json.gz",
    "loop_async.json.gz",
)
MODELLED = (
    *("--model", "8b", "--tokens", "40", "--prompt-tokens", "1000"),
    *("--device", "modelled:h200"),
)
COMMANDS = {
    "run": ("run", *MODELLED, "--out", "o"),
    "run_load": (
        *("run", "--model", "1b", "--tokens", "20", "--device", "modelled:h200"),
        *("--batch-size", "4", "--requests", "20", "--arrival", "poisson:20", "--out", "o"),
    ),
    "analyze": ("analyze", "vllm_8b_sync.json.gz"),
    "predict": ("predict", "transformers_sync.json.gz"),
    "compare": ("compare", "loop_sync.json.gz", "loop_item.json.gz"),
    "check": (
        *("check", "loop_async.json.gz", "--max-idle", "1%"),
        *("--max-idle-ms-per-step", "0.3", "--min-coverage", "95%"),
    ),
    "watch": ("watch", "--max-idle", "20%"),  # and the address of a watch
    "sweep": (
        *("sweep", "--model", "1b,8b", "--device", "modelled:h200", "--host-ms", "1"),
        *("--batch-size", "1,64", "--tokens", "20", "--jobs", "1", "--out", "o"),
    ),
}


ONLY_80 = ("run_load", "sweep")
SCREENS_KEPT = [
    (name, width)
    for name in COMMANDS
    for width in WIDTHS
    if width == 80 or name not in ONLY_80
]


@contextmanager
def watched() -> Iterator[str]:
    """Serve a state that is known, in UTC; yield its address."""
    with patch.dict(os.environ, TZ="UTC"):
        time.tzset()
        with serving(FakeServer(Path())) as server:
            server.pages["/state"] = page(example())
            yield server.url
    time.tzset()


def screen(name: str, width: int) -> str:
    """What a command prints on a terminal of that many columns, run where the traces are.

    Figures are not drawn: that takes longer than all the rest.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as patched:
        patched.enter_context(figures_undrawn())
        for trace in TRACES:
            shutil.copy(FIXTURES / trace, scratch)
        words = COMMANDS[name]
        if name == "watch":
            words = (*words, patched.enter_context(watched()))
        result = idlescope(*words, cwd=scratch, columns=width)
    assert result.returncode in (0, 1), result.stderr
    lines = (line.rstrip() for line in result.stdout.splitlines())
    return "\n".join(lines) + "\n"


def path(name: str, width: int) -> Path:
    """Where the screen that is known is kept."""
    return SCREENS / f"{name}_{width}.txt"


if __name__ == "__main__":
    for command_name, columns in SCREENS_KEPT:
        shown = screen(command_name, columns)
        path(command_name, columns).write_text(shown, encoding="utf-8")
