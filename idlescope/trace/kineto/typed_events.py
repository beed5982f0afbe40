"""Events of the categories that Kineto writes: each with no more fields than are read of it.

Most events are Python frames and operators, of which no argument is read. Leaving those out while
decoding saves half of the objects that a batch is made of. Where frames and operators are not
wanted, no more is read of them than when they were. A text with any other event in it is decoded as
records.py does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, cast

import msgspec

from idlescope.trace.kineto import categories
from idlescope.trace.kineto.records import (
    UNDECODABLE,
    Decoded,
    Event,
    decode_list,
    in_brackets,
    undecodable,
)

MISSES_ALLOWED = 4  # batches in a row with other events: the file is another tool's

# Of no table: flows, copies of annotations on the device's tracks, memory, waits between streams.
OF_NO_TABLE = (
    "ac2g",
    "async_cpu_to_gpu",
    "async_gpu",
    "cpu_instant_event",
    "cuda_profiler_range",
    "cuda_sync",
    "fwdbwd",
    "gpu_user_annotation",
    "Trace",
)


class CallArguments(msgspec.Struct, gc=False):
    """What is read of a call's arguments; as in records.Args."""

    correlation: Any = None


class OperationArguments(msgspec.Struct, gc=False):
    """What is read of an operation's arguments; as in records.Args."""

    device: Any = None
    stream: Any = None
    correlation: Any = None
    bytes: Any = None
    group: Any = msgspec.field(default=None, name="Process Group Name")
    group_ranks: Any = msgspec.field(default=None, name="Process Group Ranks")


class Span(msgspec.Struct, gc=False, tag_field="cat"):
    """A range, with the fields of records.Event that are read of it."""

    ph: Literal["X"]
    name: Any
    pid: Any
    tid: Any
    ts: float
    dur: float = 0


class Call(Span, gc=False):
    """A call of a runtime or driver."""

    args: CallArguments | None = None


class Operation(Span, gc=False):
    """What ran on a device."""

    args: OperationArguments | None = None


class Unwanted(msgspec.Struct, gc=False, tag_field="cat"):
    """A Python frame or an operator that is not wanted; its time tells when the others were."""

    ph: Literal["X"]
    ts: float


class OfNoTable(msgspec.Struct, gc=False, tag_field="cat"):
    """An event that is counted; its times tell about when the others were."""

    ph: str = ""
    name: Any = None
    pid: Any = None
    tid: Any = None
    ts: int | float | str | None = None
    dur: int | float | str | None = 0


def _types(
    base_of_category: Mapping[str, type[msgspec.Struct]],
) -> dict[str, type[msgspec.Struct]]:
    """Return a type of its own for each category."""
    return {
        category: msgspec.defstruct(
            f"Of_{category}", [], bases=(base,), tag=category, gc=False
        )
        for category, base in base_of_category.items()
    }


TYPES = _types(
    {
        **dict.fromkeys(categories.RANGES, Span),
        **dict.fromkeys(sorted(categories.CALLS), Call),
        **dict.fromkeys(categories.OPERATIONS, Operation),
        **dict.fromkeys(OF_NO_TABLE, OfNoTable),
    }
)
UNWANTED = _types(dict.fromkeys(sorted(categories.DETAIL), Unwanted))
# What the name of one of torch.profiler's own steps holds, however it is written: it is wanted.
IN_STEP_NAMES = (b"#", b"\\")


class TypedDecoder:
    """Makes typed events of text where it can, else plain ones (records.Event).

    What is read of an event stands in fields of the same names in both. Without `frames`, Python
    frames and operators are not wanted.
    """

    def __init__(self, frames: bool = True) -> None:
        self._tries = MISSES_ALLOWED
        self._frames = frames

    def __call__(self, text: bytes) -> Decoded:
        """Return the events of a text that has no brackets around it."""
        if not self._tries:
            return decode_list(text)
        detail = self._frames or any(mark in text for mark in IN_STEP_NAMES)
        try:
            events = _decoder(detail).decode(in_brackets(text))
        except msgspec.ValidationError:  # sound JSON, as far as it was read
            self._tries -= 1
            return decode_list(text)
        except UNDECODABLE as error:
            return undecodable(text, error)
        self._tries = MISSES_ALLOWED
        return Decoded(cast("list[Event]", events), 0, typed=True)


@cache
def _decoder(detail: bool) -> msgspec.json.Decoder[list[Any]]:
    types = TYPES if detail else TYPES | UNWANTED
    any_event: Any = Union[tuple(types.values())]  # noqa: UP007
    return msgspec.json.Decoder(list[any_event])
