"""The command line: parse, call one function, print. Heavy imports wait until a command runs."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys

from idlescope.cli.signals import end_as_interrupted, interrupted, leave

TYPE_CHECKING = False  # as in `typing`, which is not loaded for it
if TYPE_CHECKING:
    from typing import NoReturn

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, a file
# Dependencies that an installation without figures, pages and recordings does not have
# (.ci/slim.txt).
LEFT_OUT_BY_SLIM = ("jinja2", "matplotlib", "nvtx", "pandas", "pyarrow")
# New objects from one collection of garbage to the next; Python's own is 700. What a command
# imports are 70,000, which stay.
GARBAGE_THRESHOLD = 100_000


def main() -> None:
    """Run the command line; errors that the user can put right are one sentence and exit code 2."""
    atexit.register(leave)  # the first to be registered is the last to be called
    end_as_interrupted()
    try:
        _run()
    except KeyboardInterrupt as interrupt:
        sys.exit(interrupted(interrupt))


def _run() -> None:
    """Import the commands, run the one that was asked for."""
    # Imports make many objects that stay: looking through them again and again for cycles of
    # garbage takes a tenth of the start.
    gc.set_threshold(GARBAGE_THRESHOLD)
    atexit.register(gc.freeze)  # nor need they be looked through as the process ends
    from idlescope.children.cores import one_blas_thread
    from idlescope.children.forked import allow_forks
    from idlescope.cli.terminal_size import forget_unreadable_sizes
    from idlescope.errors import IdlescopeError

    # Figures are files: no window shows them, and what names one, or misspells it, is not asked.
    os.environ.pop("MPLBACKEND", None)
    one_blas_thread()
    allow_forks()
    forget_unreadable_sizes()
    from idlescope.cli.app import app
    from idlescope.cli.workflow_safe import guarded_streams

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that cannot show a character shows a question mark
    try:
        with guarded_streams():
            app()
    except IdlescopeError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LEFT_OUT_BY_SLIM:
            raise
        _fail(_what_is_missing(error), 2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `head` does
        sys.exit(141)
    except (
        OSError
    ) as error:  # what no command foresaw: a full disk, a folder that may not be read
        _fail(_what_failed(error), 2)


def _fail(sentence: str, exit_code: int) -> NoReturn:
    from idlescope.report.text import visible

    print(f"idlescope: {visible(sentence)}", file=sys.stderr)
    sys.exit(exit_code)


def _what_is_missing(error: ModuleNotFoundError) -> str:
    """Return in a sentence which dependency a slim installation lacks, and how to get it."""
    return (
        f"this needs {error.name}, which a slim installation leaves out: pip install idlescope "
        "installs all that it needs"
    )


def _what_failed(error: OSError) -> str:
    """Return in a sentence what the system refused."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        reason = (
            f"{reason}: nothing more can be written there; free some, or write elsewhere"
        )
    return reason if error.filename is None else f"{error.filename}: {reason}"
