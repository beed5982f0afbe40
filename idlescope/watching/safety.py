"""A watch never harms: whatever goes wrong in it turns it off, with one line in the log."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("idlescope")


def described(error: BaseException) -> str:
    """Return what an error of ours was and where it was raised, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{place}"
