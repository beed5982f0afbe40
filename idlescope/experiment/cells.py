"""The cells of a sweep: a grid of configurations, what became of each, and their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice.choose import choose
from idlescope.experiment.document import SCHEMA, Summary
from idlescope.experiment.environment import environment
from idlescope.hardware.latencies import THIS_HOST
from idlescope.plain_files import read_plain
from idlescope.trace import drafts


class CellState(str, Enum):
    """What became of a cell; equal to the word in sweep.json."""

    DONE = "done"
    REFUSED = "refused"  # it cannot be run
    FAILED = "failed"  # it ended in an error

    __str__ = str.__str__


@dataclass(frozen=True)
class Cell:
    """One configuration of a grid, and what became of it."""

    config: RunConfig
    state: CellState
    reason: str | None  # of what is not done
    summary: dict[str, Any] | None  # summary.json of the run, where it is done


def grid(
    models: Iterable[str],
    devices: Iterable[str],
    hosts: Iterable[float | None],
    batches: Iterable[int],
    **options: Any,
) -> list[RunConfig]:
    """Return every combination, each once, by device, model, host time and batch size.

    `hosts` are milliseconds, None where the host is measured. `options` are those of RunConfig that
    all cells share. Raises ConfigError for one that no run may have.
    """
    device_names = dict.fromkeys(choose(device_name).spelled for device_name in devices)
    combinations = product(
        device_names, dict.fromkeys(models), dict.fromkeys(hosts), sorted(set(batches))
    )
    return [
        RunConfig(
            model=model_name,
            device=device,
            host_ms=host_ms,
            batch_size=batch_size,
            **options,
        )
        for device, model_name, host_ms, batch_size in combinations
    ]


def is_fixed(config: RunConfig) -> bool:
    """Return whether a cell's times depend on its configuration alone: nothing is measured."""
    host_timed = config.host_ms is None and config.host_profile == THIS_HOST
    return not host_timed and not choose(config.device).measured


def place(config: RunConfig, folder: Path) -> Path:
    """Return where a cell is kept; another configuration, version or device has another name."""
    choice, architecture = choose(config.device), config.architecture
    identity = {
        "schema": SCHEMA,
        "config": asdict(config),
        "model": repr(architecture),
        "device": choice.make(config).name,
        "environment": environment(choice.measured),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    device = config.device.replace(":", "-")
    host_kind = "measured" if choice.measured else config.host_profile
    if config.host_ms is not None:
        host_kind = f"{config.host_ms:g}ms"
    file_name = (
        f"{architecture.key}-{device}-host-{host_kind}-b{config.batch_size}-{digest}.json"
    )
    return folder / file_name


def keep(cell: Cell, path: Path) -> None:
    """Write a cell, whole or not at all."""
    document = {"schema": SCHEMA, **asdict(cell)}
    with drafts.held(path.parent) as folder:
        draft_path = folder / path.name
        draft_path.write_text(
            json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        draft_path.replace(path)


def kept(config: RunConfig, folder: Path) -> Cell | None:
    """Return a cell that was run to its end before.

    None where it was not, or where its file cannot be used.
    """
    try:
        stored = json.loads(read_plain(place(config, folder)))
        is_done = stored["state"] == CellState.DONE and stored["config"] == asdict(config)
        if not is_done:
            return None
        return Cell(config, CellState.DONE, None, _summary(stored, config))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _summary(stored: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """Return the summary of a stored cell. Raises ValueError where it is no whole one."""
    summary: dict[str, Any] = stored["summary"]
    typed_summary = msgspec.convert(summary, Summary)
    json.dumps(summary, allow_nan=False)  # what holds NaN could not be written again
    if set(typed_summary.modes) != set(config.modes):
        raise ValueError("other modes were run")
    return summary
