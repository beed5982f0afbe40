"""Runs something wherever the interpreter may switch to another thread."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

# Instructions that look at the lock: of calls, of functions that begin, and of loops that go round.
LOOKING = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")


@contextmanager
def interrupted(files: tuple[str, ...], then: Callable[[], None]) -> Iterator[None]:
    """Call a function, in this thread, wherever those of some files may lose the interpreter's lock.

    `files` are ends of paths.
    """
    is_running = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal is_running
        if is_running or not frame.f_code.co_filename.endswith(files):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in switches(frame.f_code):
            is_running = True
            try:
                then()
            finally:
                is_running = False
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@cache
def switches(code: CodeType) -> frozenset[int]:
    """Return the offsets of the instructions before or after which the interpreter looks."""
    instructions = list(dis.get_instructions(code))
    found = {0}
    for instruction, following in pairwise(instructions):
        if instruction.opname.startswith(LOOKING):
            found |= {instruction.offset, following.offset}
    return frozenset(found)
