"""Which Python frames wait for another process or thread: by the function that blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence

ANOTHER_PROCESS = "waits for another process"
ANOTHER_THREAD = "waits for another thread"

# (regular expression searched for in a frame's name, what it waits for); the first that matches.
# vLLM's workers take each step's batch from a ring in shared memory, which they poll.
WAITING_FRAMES: tuple[tuple[str, str], ...] = (
    (r"shm_broadcast\.py\(\d+\): (dequeue|acquire_read)$", f"{ANOTHER_PROCESS} (shm_broadcast)"),
    (r"\bsched_yield\b", f"{ANOTHER_PROCESS} (sched_yield)"),
    (r"\bzmq\b.*(recv|poll)", f"{ANOTHER_PROCESS} (zmq)"),
    (r"(^|/)multiprocessing/(connection|queues)\.py\(\d+\): (recv|get|poll|wait)\w*$",
     f"{ANOTHER_PROCESS} (multiprocessing)"),
    (r"(^|/)queue\.py\(\d+\): get$|<built-in method get of _queue\.", f"{ANOTHER_THREAD} (queue)"),
)  # fmt: skip
# A look into an empty mailbox returns at once: shorter frames are no waits (but those that spin).
SHORTEST_WAIT = 100_000  # ns
SPINNING = re.compile(r"shm_broadcast|sched_yield")

_ANY = re.compile("|".join(f"(?:{pattern})" for pattern, _ in WAITING_FRAMES))
# A word of each pattern: most names have none, which is told in less time.
_WORDS = ("shm_broadcast", "sched_yield", "zmq", "multiprocessing/", "queue")


def waiting_frames(names: Sequence[str], used: Sequence[int]) -> dict[int, str]:
    """Return what each of the used frames waits for, by index of its name; others are left out."""
    found: dict[int, str] = {}
    for index in used:
        name = names[index]
        if any(word in name for word in _WORDS) and _ANY.search(name):
            matching = (
                what for rule, what in WAITING_FRAMES if re.search(rule, names[index])
            )
            found[index] = next(matching)
    return found
