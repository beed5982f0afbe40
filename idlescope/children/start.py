"""The command of a child process that runs a module of idlescope and imports no one else's.

A child is started by the path of a file of ours, isolated (`-I`), and is told where this process
imports from. Nothing that is pickled goes to it or comes from it.
"""

from __future__ import annotations

import json
import os
import sys

from idlescope.children.import_path import safe_path

ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "entry.py")


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, by its dotted name, as a program of its own."""
    import_path = json.dumps(safe_path())
    return [sys.executable, "-I", ENTRY, import_path, module, *arguments]
