"""The methods of transformers' continuous batching that are wrapped: it has no spans of its own.

Read in transformers 5.17 and 5.23, whose loop runs in a thread of its own: `prepare_next_batch` →
`get_model_kwargs` → `compute_batch` → `retrieve_device_outputs` → `update_batch`, where
asynchronously the last is that of the step before.
"""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """A method that is wrapped as the range `cb:NAME`."""

    name: str
    owner: str  # attribute of the batch processor that has the method; "": the processor itself
    phase: str  # of the engine: the range's category and colour
    outer: bool  # the loop calls it; others are called by one of these, so their time is not added


METHODS = (
    Method("prepare_next_batch", "", "prepare", True),
    Method("schedule_batch", "scheduler", "schedule", False),
    Method("prepare_batch_tensors", "inputs_and_outputs", "prepare", False),
    Method("get_model_kwargs", "inputs_and_outputs", "submit", True),
    Method("compute_batch", "model_runner", "submit", True),
    Method("retrieve_device_outputs", "inputs_and_outputs", "retrieve", True),
    Method("prepare_batch_update", "inputs_and_outputs", "retrieve", False),
    Method("update_batch", "", "update", True),
)
PHASES = tuple(f"cb:{method.name}" for method in METHODS)

# With two steps in flight these work on the older one; with one step in flight, on that step.
OLDER_STEP_METHODS = ("prepare_batch_update", "update_batch")


def blocking_method(pipelined: bool) -> str:
    """Return the name of the method in which the host waits for the tokens of a step on CUDA."""
    return "prepare_batch_update" if pipelined else "retrieve_device_outputs"
