"""An `analysis.json`, as `analyze --json` prints it, broken down: one block, without its noise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from idlescope.analysis.comparison.breakdown import (
    COMMUNICATION,
    COMPUTE,
    COPIES,
    HOST_PREFIX,
    HOST_WORK,
    IDLE_PREFIX,
    Breakdown,
    is_modelled,
)
from idlescope.analysis.document import SCHEMA
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.steps.load import share_of_prompts
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.errors import TraceError
from idlescope.plain_files import plain_size, read_plain
from idlescope.trace.table import Float64

_BEGINNING = re.compile(rb'^\s*\{\s*"schema"\s*:\s*\d+\s*,\s*"source"\s*:')
_BEGINNING_BYTES = 64
_LONGEST_NS = (1 << 61) - 1  # as of a window
Nanoseconds = Annotated[int, Meta(ge=0, le=_LONGEST_NS)]


class _Schema(Struct):
    schema: int


class _Batching(Struct):
    kind: str


class _Verdict(Struct):
    kind: str
    text: str


class _Spread(Struct):
    pauses_cause_ns: dict[str, Nanoseconds] = {}
    pauses_host_ns: dict[str, Nanoseconds] = {}


class _Device(Struct):
    process: str
    device: int
    name: str
    compute_ns: Nanoseconds
    copy_only_ns: Nanoseconds
    cause_ns: dict[str, Nanoseconds]
    host_ns: dict[str, Nanoseconds]
    batching: _Batching
    verdict: _Verdict
    # files of before 2026-12 do not say these
    exposed_communication_ns: Nanoseconds = 0
    spread: _Spread = msgspec.field(default_factory=_Spread)
    requests_per_step: float | None = None

    @property
    def apart_ns(self) -> int:
        """Return the idle time that is no cost of a step: pauses, and no requests."""
        pauses_ns = sum(self.spread.pauses_cause_ns.values())
        return pauses_ns + self.host_ns.get(NO_DEMAND, 0)


class _Step(Struct):
    process: str
    device: int
    host_ns: Nanoseconds
    kind: str = StepKind.UNKNOWN


class _Document(Struct):
    devices: list[_Device]
    steps: list[_Step]
    warnings: list[str]


def is_analysis(path: Path) -> bool:
    """Return whether a file is what `analyze --json` prints."""
    if not path.is_file() or not plain_size(path):
        return False
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(_BEGINNING_BYTES)) is not None


def of_json(path: Path) -> Breakdown:
    """Return the breakdown of an `analysis.json`: one block, as it does not say when parts came.

    Raises TraceError where the file is damaged, of another schema, or holds no device.
    """
    text = read_plain(path)
    try:
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema != SCHEMA:
            raise TraceError(
                f"{path} has schema {schema}, this idlescope reads {SCHEMA}: upgrade it"
            )
        document = msgspec.json.decode(text, type=_Document)
        return _breakdown(path, document)
    except (ValueError, LookupError, RecursionError) as error:
        raise TraceError(
            f"{path} is not a whole analysis.json ({type(error).__name__}: {error}): "
            "run `idlescope analyze` again"
        ) from error


def _breakdown(path: Path, document: _Document) -> Breakdown:
    devices, steps = document.devices, document.steps
    if not devices:
        raise TraceError(
            f"{path} holds no device, so there is nothing to compare: "
            "analyse a trace of a GPU machine"
        )
    host_work: dict[str, Float64] = {}
    known_steps = _steps_of_all(devices, steps)
    if known_steps:
        host_ns = sum(step.host_ns for step in steps)
        host_work[HOST_WORK] = np.array([float(host_ns)])
    first = devices[0]
    doubts = [
        device.verdict.text for device in devices if device.verdict.kind == CANNOT_TELL
    ]
    return Breakdown(
        path=str(path),
        device_name=first.name,
        model="",
        modelled=is_modelled(first.name, measured=None),
        batching=first.batching.kind,
        doubts=tuple(dict.fromkeys(doubts)),
        warnings=tuple(document.warnings),
        parts=_parts(devices),
        apart=np.array([float(sum(device.apart_ns for device in devices))]),
        host_work=host_work,
        steps=np.array([float(known_steps)]),
        tokens=np.array([_tokens(devices, known_steps)]),
        prompt_pct=share_of_prompts([step.kind for step in steps]),
    )


def _tokens(devices: Sequence[_Device], steps: int) -> float:
    """Return how many tokens the steps of a single device gave out; 0 where that is not known."""
    per_step = devices[0].requests_per_step
    return 0.0 if per_step is None or len(devices) > 1 else per_step * steps


def _steps_of_all(devices: Sequence[_Device], steps: Sequence[_Step]) -> int:
    """Return how many steps there are; 0 where those of a device are not known."""
    with_steps = {(step.process, step.device) for step in steps}
    every_device = {(device.process, device.device) for device in devices}
    return len(steps) if with_steps == every_device else 0


def _parts(devices: Sequence[_Device]) -> dict[str, Float64]:
    parts: dict[str, Float64] = {}
    for device in devices:
        for name, ns in _device_parts(device):
            parts[name] = parts.get(name, np.zeros(1)) + float(ns)
    return parts


def _device_parts(device: _Device) -> Iterator[tuple[str, int]]:
    exposed_ns = min(device.exposed_communication_ns, device.compute_ns)
    yield COMPUTE, device.compute_ns - exposed_ns
    if exposed_ns:
        yield COMMUNICATION, exposed_ns
    yield COPIES, device.copy_only_ns
    spread = device.spread
    for label, ns in device.host_ns.items():
        if label != NO_DEMAND:
            yield f"{HOST_PREFIX}{label}", ns - spread.pauses_host_ns.get(label, 0)
    for cause in CAUSES[1:]:
        in_pauses_ns = spread.pauses_cause_ns.get(cause, 0)
        yield f"{IDLE_PREFIX}{cause}", device.cause_ns[cause] - in_pauses_ns
