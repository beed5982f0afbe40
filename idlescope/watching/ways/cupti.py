"""CUPTI's activity API by ctypes: the thin layer over the libcupti that torch brought.

Only what the watch needs, one method a function of the library; tests replace the library.
"""

from __future__ import annotations

import ctypes
import glob
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import ConfigError
from idlescope.watching.ways.cupti_records import (
    CONCURRENT_KERNEL,
    DRIVER,
    GRAPH_TRACE,
    MEMCPY,
    MEMSET,
    RUNTIME,
)

# A buffer is only given back when all of its records are complete: with small ones that is soon
# after the work has ended, although there is always some in flight.
BUFFER_BYTES = 64 * 1024
MOST_BUFFERS = 256  # beyond them CUPTI drops records, which `Buffers.refused` counts
# Not copies between devices: asking for them doubles what CUPTI adds to launching a CUDA graph
# (tests/gpu/graph_launch.py), and engines move data between devices by kernels.
KINDS = (MEMCPY, MEMSET, CONCURRENT_KERNEL, GRAPH_TRACE)


class ApiCalls(NamedTuple):
    """Calls of one of CUDA's two APIs, and how records of them are chosen."""

    kind: int  # of their records
    domain: int  # CUpti_CallbackDomain
    choose: str  # the function that turns the records of one call on and off
    launches: re.Pattern[str]  # names of those that issue work


# Names end in the version of the call, and in _ptsz where it takes a thread's default stream.
_END = r"(_ptsz)?(_v\d+)?(_ptsz)?"
APIS = (
    ApiCalls(
        RUNTIME,
        2,
        "cuptiActivityEnableRuntimeApi",
        re.compile(
            r"(__)?cuda(Launch(Cooperative)?Kernel(ExC)?|GraphLaunch"
            rf"|Memcpy(2D|3D|Peer)?(Async)?|Memset(2D|3D)?(Async)?){_END}"
        ),
    ),
    # What Triton and others call past the runtime.
    ApiCalls(
        DRIVER,
        1,
        "cuptiActivityEnableDriverApi",
        re.compile(rf"cuLaunch(Cooperative)?Kernel(Ex)?{_END}"),
    ),
)
MOST_CALLBACKS = 10_000  # no version has so many

REQUESTED = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_size_t),
)
COMPLETED = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_size_t,
)
FORCED = 1  # CUPTI_ACTIVITY_FLAG_FLUSH_FORCED


class CuptiError(Exception):
    """A function of CUPTI failed."""


class Completed(NamedTuple):
    """A buffer that CUPTI has filled."""

    address: int
    buffer: NDArray[np.uint8]
    valid: int  # bytes


class Buffers:
    """The memory that CUPTI writes records to; each piece is used again and again.

    Its two callbacks may be called by any thread, within any call of CUDA: they only move a
    buffer from one list to another.
    """

    def __init__(self, size: int = BUFFER_BYTES, most: int = MOST_BUFFERS) -> None:
        self._size = size
        self._most = most
        self._made: dict[int, NDArray[np.uint8]] = {}  # by address
        self._free: deque[int] = deque()
        self.completed: deque[Completed] = deque()
        self.out = 0  # buffers that CUPTI holds
        self.refused = 0
        self.requested_callback = REQUESTED(self._requested)
        self.completed_callback = COMPLETED(self._completed)

    def give_back(self, address: int) -> None:
        """Let a buffer that was completed be used again."""
        self._free.append(address)

    def _requested(self, buffer: Any, size: Any, most_records: Any) -> None:
        most_records[0] = 0  # as many as there is room for
        try:
            address = self._free.popleft()
        except IndexError:
            address = self._make()
        buffer[0] = address or None
        size[0] = self._size if address else 0
        self.out += bool(address)

    def _completed(
        self, context: Any, stream: int, address: int, size: int, valid: int
    ) -> None:
        buffer = self._made.get(address or 0)
        if buffer is not None:  # else it is another's, whose place we took
            self.out -= 1
            self.completed.append(Completed(address, buffer, valid))

    def _make(self) -> int:
        """Return the address of a new buffer; 0: there are enough."""
        if len(self._made) >= self._most:
            self.refused += 1
            return 0
        buffer = np.zeros(self._size // 8, np.uint64)  # records begin at multiples of 8
        address = buffer.ctypes.data
        self._made[address] = buffer.view(np.uint8)
        return address


class Cupti:
    """The functions of a libcupti. Raises ConfigError where none is found."""

    def __init__(self, library: Any = None) -> None:
        self._library = load() if library is None else library
        # Keeps the interpreter's lock: its own would let another thread go on in between.
        self._at_once = ctypes.PyDLL(self._library._name, handle=self._library._handle)
        self.buffers = Buffers()
        self.records_calls = False  # whether calls that launch work are recorded, too
        # Whether only those calls were turned on: others cost nothing then.
        self.chose_calls = False

    def version(self) -> int:
        """Return the version of CUPTI's API."""
        version = ctypes.c_uint32()
        self._call("cuptiGetVersion", ctypes.byref(version))
        return version.value

    def start(self, has_context: bool = True) -> None:
        """Take records from now on. Raises CuptiError where another tool has CUPTI.

        Before the process has a context of CUDA, single calls can be chosen. Where there is one,
        CUPTI records none that is turned on by itself (CUDA 13; `record_every_call`).
        """
        buffers = self.buffers
        self._call(
            "cuptiActivityRegisterCallbacks",
            buffers.requested_callback,
            buffers.completed_callback,
        )
        for kind in KINDS:
            self._call("cuptiActivityEnable", ctypes.c_uint32(kind))
        if has_context:
            self.record_every_call()
        else:
            chosen = [self._choose(api, True, True) for api in self._choosable()]
            self.records_calls = self.chose_calls = any(chosen)

    def record_every_call(self) -> None:
        """Turn calls on as whole kinds, then off what launches nothing: costs time in any call."""
        recorded = [
            self._try("cuptiActivityEnable", ctypes.c_uint32(api.kind))
            and self._choose(api, False, False)
            for api in self._choosable()
        ]
        self.records_calls = any(recorded)
        self.chose_calls = False

    def stop(self) -> None:
        """Take no more records; what there is comes at once, complete or not."""
        if self.chose_calls:
            for api in self._choosable():
                self._choose(api, True, False)
        for kind in (*KINDS, *(api.kind for api in APIS)):
            self._try("cuptiActivityDisable", ctypes.c_uint32(kind))
        self._try("cuptiActivityFlushAll", ctypes.c_uint32(FORCED))

    def flush(self) -> None:
        """Have the buffers completed of which every record is complete; waits for no device."""
        self._call("cuptiActivityFlushAll", ctypes.c_uint32(0))

    def forget(self) -> None:
        """Throw away what was recorded so far."""
        self.flush()
        while self.buffers.completed:
            self.buffers.give_back(self.buffers.completed.popleft().address)
        self.buffers.refused = 0

    def now(self) -> int:
        """Return the time on the clock of the records."""
        moment = ctypes.c_uint64()
        status = self._at_once.cuptiGetTimestamp(ctypes.byref(moment))
        self._demand("cuptiGetTimestamp", status)
        return moment.value

    def record_size(self, completed: Completed, offset: int) -> int:
        """Return how long the record at this place is; 0 where none follows it."""
        record = ctypes.c_void_p(completed.address + offset)
        status = self._library.cuptiActivityGetNextRecord(
            ctypes.c_void_p(completed.address),
            ctypes.c_size_t(completed.valid),
            ctypes.byref(record),
        )
        if status or not record.value:
            return 0
        return record.value - completed.address - offset

    def _choosable(self) -> list[ApiCalls]:
        """Return the APIs of which single calls can be turned on and off; of others only all."""
        return [
            api
            for api in APIS
            if hasattr(self._library, api.choose) and any(self._call_names(api.domain))
        ]

    def _choose(self, api: ApiCalls, launching: bool, record: bool) -> bool:
        """Turn records of single calls on or off: of those that launch work, or of all others.

        Return whether calls that launch work are known by their names.
        """
        known = False
        for callback, name in self._call_names(api.domain):
            launches = api.launches.fullmatch(name) is not None
            known |= launches
            if launches == launching:
                self._try(api.choose, ctypes.c_uint32(callback), ctypes.c_uint8(record))
        return known

    def _call_names(self, domain: int) -> Iterator[tuple[int, str]]:
        """Yield the calls that this version knows: their callback ids and names."""
        name = ctypes.c_char_p()
        for callback in range(1, MOST_CALLBACKS):
            place = ctypes.c_int(domain), ctypes.c_uint32(callback), ctypes.byref(name)
            if not self._try("cuptiGetCallbackName", *place):
                return
            yield callback, (name.value or b"").decode(errors="replace")

    def _try(self, function: str, *arguments: Any) -> bool:
        """Call a function; return whether it is there and did it."""
        try:
            self._call(function, *arguments)
        except (CuptiError, AttributeError):
            return False
        return True

    def _call(self, function: str, *arguments: Any) -> None:
        self._demand(function, getattr(self._library, function)(*arguments))

    def _demand(self, function: str, status: int) -> None:
        """Raise CuptiError unless a function did what it was called for."""
        if status:
            raise CuptiError(f"{function} failed with {status} ({self._meaning(status)})")

    def _meaning(self, status: int) -> str:
        text = ctypes.c_char_p()
        try:
            self._library.cuptiGetResultString(ctypes.c_int(status), ctypes.byref(text))
        except AttributeError:
            return "no text"
        return (text.value or b"no text").decode(errors="replace")


class EarlyCupti:
    """CUPTI, turned on before its process has a context of CUDA: kept for the watch that begins."""

    def __init__(self) -> None:
        self._started: Cupti | None = None

    def start(self, library: Any = None) -> None:
        """Turn CUPTI on, unless it is on.

        Raises CuptiError where another tool has it, ConfigError where there is none.
        """
        if self._started is None:
            cupti = Cupti(library)
            cupti.start(has_context=False)
            self._started = cupti

    def take(self) -> Cupti | None:
        """Return what was started, for one watch; None: nothing was, or another watch has it."""
        started, self._started = self._started, None
        return started

    def give_up(self) -> None:
        """Turn off what no watch has taken."""
        started = self.take()
        if started is not None:
            started.stop()


EARLY = EarlyCupti()  # of this process


def load() -> ctypes.CDLL:
    """Return the libcupti that this process has loaded, else the one beside torch."""
    for path in (*_loaded(), *_beside_torch()):
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise ConfigError("no libcupti was found beside torch: no records of activity")


def _loaded() -> list[str]:
    """Return the paths of libcupti in the map of this process's memory."""
    try:
        text = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return []
    return list(dict.fromkeys(re.findall(r"(/\S*libcupti\.so[.\d]*)\n", text)))


def _beside_torch() -> list[str]:
    """Return the paths of libcupti in the packages that torch's wheel depends on."""
    import torch

    packages = os.path.join(os.path.dirname(torch.__file__), "..", "nvidia")
    found = glob.glob(os.path.join(packages, "*", "lib", "libcupti.so*"))
    return sorted(found, reverse=True)
