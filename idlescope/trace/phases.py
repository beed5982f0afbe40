"""What the names of spans mean: which phase of a batching step a range belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Our own engine's phases, in the order of a step (README.md, "The engine's loop").
ENGINE_PHASES = ("schedule", "prepare", "submit", "retrieve", "update")

# transformers' continuous batching has no spans of its own; these are its methods, wrapped as `cb:<method>`
# (transformers 5.23, generation/continuous_batching).
TRANSFORMERS_PHASES = (
    ("schedule_batch", "schedule"),
    ("prepare_batch_tensors", "prepare"),
    ("get_model_kwargs", "h2d"),
    ("compute_batch", "forward"),
    ("retrieve_device_outputs", "d2h"),
    ("prepare_batch_update", "sync_wait"),
    ("update_batch", "postprocess"),
    ("prepare_next_batch", "schedule"),
)

_RULES = tuple((re.compile(f"^{p}$"), p) for p in ENGINE_PHASES) + tuple(
    (re.compile(rf"^cb:{method}$"), phase) for method, phase in TRANSFORMERS_PHASES
)

PROFILER_STEP = re.compile(r"^ProfilerStep#(\d+)$")

# Calls in which the host waits for the device (CUDA runtime and driver API, HIP's names alike); the step clock calls
# its own wait `event.synchronize`.
SYNCHRONISING = re.compile(
    r"^(cuda|hip|cu)(Device|Stream|Event|Ctx)Synchronize|^(cuda|hip)Memcpy(_v\d+)?$|^event\.synchronize$"
)


def phase_of(names: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return for each name the index of its phase in the second value, -1 where it is no phase known to idlescope."""
    phases = tuple(dict.fromkeys(phase for _, phase in _RULES))
    code = {phase: i for i, phase in enumerate(phases)}
    found = [next((code[phase] for rule, phase in _RULES if rule.search(name)), -1) for name in names]
    return np.array(found, np.int32), phases


def synchronising(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return for each name of an API call whether the host waits for the device in it."""
    return np.array([SYNCHRONISING.search(name) is not None for name in names], np.bool_)
