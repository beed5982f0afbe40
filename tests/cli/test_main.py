"""What holds for every command: terminals of any kind, and what the system refuses."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.make.commands import idlescope, refused


def test_one_that_knows_only_ascii_is_written_to(trace):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "idlescope", "analyze", str(trace)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_what_the_system_refuses_is_one_sentence(trace, tmp_path):
    (tmp_path / "o" / "analysis.json").mkdir(parents=True)
    refused(
        idlescope("analyze", trace, "--out", tmp_path / "o", "--force"),
        "analysis.json: Is a directory",
    )
