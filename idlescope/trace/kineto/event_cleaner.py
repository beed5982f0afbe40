"""Clean single Kineto events: the fields and arguments that are known, ids, and cut texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from idlescope.trace.kineto import categories
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.texts import Texts

PHASES = frozenset("XMCistf")
# Categories that the reader does not know but viewers show (libkineto, ActivityType.h), and those
# of flows.
SHOWN = frozenset(
    {
        "gpu_user_annotation",
        "cpu_instant_event",
        "cuda_sync",
        "Trace",
        "ac2g",
        "fwdbwd",
        "async_cpu_to_gpu",
        "async_gpu",
    }
)
KEPT_CATEGORIES = (
    SHOWN | categories.OPERATIONS.keys() | categories.CALLS | categories.RANGES.keys()
)
METADATA_EVENTS = frozenset(
    {"thread_name", "thread_sort_index", "process_sort_index", "process_labels"}
)
PROCESS_LABEL = re.compile(r"CPU|GPU \d+")
# Arguments of events. What stands in the others, such as "Concrete Inputs", is anything that a
# program computed with.
NUMBERS = frozenset({
    "correlation", "device", "stream", "context", "External id", "cbid", "cid", "queued",
    "registers per thread", "shared memory", "blocks per SM", "warps per SM", "grid", "block",
    "est. achieved occupancy %", "bytes", "memory bandwidth (GB/s)", "Ev Idx",
    "Record function id", "Fwd thread id", "Sequence number", "Input Dims", "Input Strides",
    "Python id", "Python parent id", "Python module id", "Op count", "sort_index", "value",
    "Device Id", "Device Type", "Bytes", "Total Allocated", "Total Reserved", "num_warps",
    "num_stages", "Rank", "Group size", "In msg nelems", "Out msg nelems", "wait_on_stream",
    "wait_on_cuda_event_id", "wait_on_cuda_event_record_corr_id", "finished", "sycl queue",
    "l0 queue",
})  # fmt: skip
TEXTS = frozenset(
    {
        "Input type",
        "Call stack",
        "Module Hierarchy",
        "kernel",
        "kind",
        "dtype",
        "Collective name",
        "kernel_backend",
    }
)
OUR_NUMBERS = frozenset({"step", "flops"})  # of files that idlescope wrote
PIDS, TIDS = frozenset({"process"}), frozenset({"track"})
# Fields of flows and instants, and the values that the format knows.
FLOW_FIELDS = (("bp", ("e",)), ("s", ("t", "p", "g")))
NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)")
TIME = re.compile(r"\s*[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?\s*")
TRACKS = re.compile(r"(?:stream )?-?\d+|Spans|Traces|(?:Trace )?PyTorch Profiler|")
INSTANT = "instant"  # stands for the name of one
DEEPEST = 4  # lists of lists of sizes, and no deeper


class EventCleaner:
    """Cleans the events of one file; `names` are those that stay."""

    def __init__(self, texts: Texts, result: Scrubbed, own: bool) -> None:
        self.names: set[str] = set()
        self._texts = texts
        self._result = result
        self._own = own  # idlescope wrote the file
        self._numbers = NUMBERS | OUR_NUMBERS if own else NUMBERS
        self._stand_ins: dict[tuple[str, str], str] = {}

    def cleaned(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an event without what may tell something; None where nothing of it may stay."""
        phase, category, event_name = event.get("ph"), event.get("cat"), event.get("name")
        known_category = category is None or str(category) in KEPT_CATEGORIES
        if not isinstance(phase, str) or phase not in PHASES or not known_category:
            self._result.remove("events of kinds that idlescope does not know")
            return None
        if phase == "M" and not _may_stay(event_name, event.get("args")):
            self._result.remove("names and labels of processes")
            return None
        kept_fields: dict[str, Any] = {"ph": phase}
        if category is not None:
            kept_fields["cat"] = category
        if event_name is not None:
            is_hidden = phase == "i" and not self._own and not self._result.kept.instants
            if is_hidden:
                self._result.remove("names of instants")
            shown_name = INSTANT if is_hidden else str(event_name)
            kept_fields["name"] = self._texts.name(shown_name)
            self.names.add(kept_fields["name"])
        for field_name in ("pid", "tid", "id"):
            if field_name in event:
                kept_fields[field_name] = self._id(field_name, event[field_name])
        for field_name in ("ts", "dur"):
            if field_name in event:
                kept_fields[field_name] = _time(event[field_name])
        for field_name, known_values in FLOW_FIELDS:
            if event.get(field_name) in known_values:
                kept_fields[field_name] = event[field_name]
        args = event.get("args")
        if isinstance(args, dict):
            kept_fields["args"] = self._args(args, is_label=phase == "M")
        return kept_fields

    def _args(self, args: Mapping[str, Any], is_label: bool) -> dict[str, Any]:
        kept_arguments: dict[str, Any] = {}
        for argument_name, value in args.items():
            if argument_name in self._numbers:
                kept_arguments[argument_name] = self._values(
                    value, text=argument_name == "stream"
                )
            elif argument_name in TEXTS:
                kept_arguments[argument_name] = self._values(value, text=True)
            elif argument_name in PIDS:
                kept_arguments[argument_name] = self._id("pid", value)
            elif argument_name in TIDS and self._own:
                kept_arguments[argument_name] = self._id("tid", value)
            elif is_label and argument_name in ("name", "labels"):
                shown_label = self._texts.text(str(value))
                if argument_name == "name":
                    shown_label = self._texts.thread(shown_label)
                kept_arguments[argument_name] = shown_label
                self.names.add(shown_label)
            else:
                self._result.remove("arguments of events")
        return kept_arguments

    def _values(self, value: Any, text: bool, depth: int = 0) -> Any:
        """Return numbers, also in lists and written as text, and cleaned text if it may stand."""
        if value is None or isinstance(value, (bool, int, Decimal)):
            return value
        if isinstance(value, str):
            if NUMBER.fullmatch(value):
                return value
            return self._texts.text(value) if text else None
        if isinstance(value, list) and depth < DEEPEST:
            return [self._values(item, text, depth + 1) for item in value]
        return None

    def _id(self, field_name: str, value: Any) -> Any:
        """Return an id where it is a number, else one that stands for it throughout the file."""
        if value is None or isinstance(value, (bool, int, Decimal)):
            return value
        text = str(value)
        if NUMBER.fullmatch(text) or TRACKS.fullmatch(text):
            return text
        if (field_name, text) not in self._stand_ins:
            self._result.remove("names that stood for ids")
        return self._stand_ins.setdefault(
            (field_name, text), f"{field_name} {len(self._stand_ins) + 1}"
        )


def _may_stay(event_name: Any, args: Any) -> bool:
    """Return whether a metadata event tells nothing of the machine."""
    if not isinstance(event_name, str) or event_name not in METADATA_EVENTS:
        return False
    if event_name != "process_labels":
        return True
    label = args.get("labels") if isinstance(args, dict) else None
    return PROCESS_LABEL.fullmatch(str(label)) is not None


def _time(value: Any) -> Any:
    """Return a time as it stands; None where it is no number to the reader, either."""
    is_number = isinstance(value, (int, Decimal)) or TIME.fullmatch(str(value)) is not None
    return value if is_number else None
