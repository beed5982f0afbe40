"""Where this process imports from, without the folder that it was started in.

`python -m` and `python -c` put the current folder first: a `numpy.py` beside a trace would run.
This module imports what every Python has loaded before its first line: nothing of that folder.
"""

import os
import sys

INSTALLED = ("site-packages", "dist-packages")  # of everyone, also where one stands in it


def safe_path() -> list[str]:
    """Return the folders of `sys.path` but the current one."""
    try:
        current_folder = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted, so nothing can be imported from it
        current_folder = ""
    return [
        entry
        for entry in sys.path
        if os.path.isabs(entry)
        and (entry.endswith(INSTALLED) or os.path.realpath(entry) != current_folder)
    ]


def leave_current_folder() -> None:
    """Import nothing of the current folder from here on; idlescope itself is imported by then."""
    sys.path[:] = safe_path()
