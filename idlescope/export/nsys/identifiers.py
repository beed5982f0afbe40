"""The numbers that stand for processes, threads, streams and GPUs in an export."""

from __future__ import annotations

from collections.abc import Sequence

from idlescope.export.nsys.schema import MACHINE_SHIFT, PID_SHIFT, VIRTUAL_MACHINE
from idlescope.trace.model import Device

FIRST_FREE_STREAM = 1000  # streams without a number are given this and the following ones
MAX_STREAM = 1 << 31


def global_pid(pid: int) -> int:
    """Return the number of a process: its pid, with the machine's number before it."""
    return VIRTUAL_MACHINE << MACHINE_SHIFT | pid << PID_SHIFT


def global_tid(pid: int, thread: int) -> int:
    """Return the number of a thread.

    Threads are numbered from 1 in all processes together: a Trace knows them by a label only.
    """
    return global_pid(pid) | (thread + 1)


def is_stream_number(stream: str) -> bool:
    """Return whether a stream's name is a number that an export can hold."""
    if not stream.isascii() or not stream.isdecimal():
        return False
    return str(int(stream)) == stream and int(stream) < MAX_STREAM


def stream_numbers(streams: Sequence[str]) -> list[int]:
    """Return the number of each stream: its own where its name is one, else the next free one."""
    own_numbers = [int(stream) for stream in streams if is_stream_number(stream)]
    first_free = max([FIRST_FREE_STREAM, *(number + 1 for number in own_numbers)])
    numbers = []
    for stream in streams:
        if is_stream_number(stream):
            numbers.append(int(stream))
        else:
            numbers.append(first_free)
            first_free += 1
    return numbers


def gpu_key(device: Device) -> str:
    """Return what tells GPUs apart: devices of several processes may be the same one."""
    return device.identity or str(device.index)


def gpu_numbers(devices: Sequence[Device]) -> list[tuple[int, Device]]:
    """Return each GPU once, with its number.

    That is the device's index, which several processes share; where it is taken by another GPU,
    the next one behind all.
    """
    numbered: dict[str, tuple[int, Device]] = {}
    for device in devices:
        taken_numbers = {number for number, _ in numbered.values()}
        number = max(taken_numbers) + 1 if device.index in taken_numbers else device.index
        numbered.setdefault(gpu_key(device), (number, device))
    return list(numbered.values())
