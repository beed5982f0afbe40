"""The commands together: their help, and the version."""

from __future__ import annotations

import subprocess
import sys

from idlescope import __version__
from tests.make.commands import in_a_process


def test_help_needs_none_of_the_heavy_libraries():
    program = (
        "import sys; sys.argv = ['idlescope', '--help']\n"
        "from idlescope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'matplotlib', 'pyarrow', 'msgspec', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    assert "analyze" in result.stdout


def test_version():
    assert in_a_process("--version").stdout == f"idlescope {__version__}\n"
