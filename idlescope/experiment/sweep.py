"""Run every cell of a grid of configurations, and keep each as it ends: a sweep that was stopped goes on where it was.

Cells whose times are all fixed by their configuration run side by side, each in a process of its own. Where time is
really measured (a CPU, a CUDA device, the host of a modelled GPU without `host_ms`) another cell beside it would change
it: those run alone, one after the other, in this process.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from idlescope.engine.loop import described
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.experiment.device_choice import devices
from idlescope.experiment.run import Running, environment, run

SCHEMA = 1
DONE, REFUSED, FAILED = "done", "refused", "failed"
WARM_UP = RunConfig(
    model="tiny", device="modelled:h200", batch_size=8, tokens=300
)  # steps that nobody looks at
Progress = Callable[[RunConfig, str, Running], None]


@dataclass(frozen=True)
class Cell:
    """One configuration of a grid, and what became of it."""

    config: RunConfig
    state: str  # done, refused (it cannot be run) or failed (it ended in an error)
    reason: str | None  # of what is not done
    summary: dict[str, Any] | None  # summary.json of the run, where it is done


def grid(
    models: Iterable[str],
    on: Iterable[str],
    hosts: Iterable[float | None],
    batches: Iterable[int],
    **options: Any,
) -> list[RunConfig]:
    """Return every combination, each once, by device, model, host cost and ascending batch size.

    `options` are those of RunConfig that all cells share. Raises ConfigError for one that no run may have.
    """
    names = dict.fromkeys(spelled(name) for name in on)
    combinations = product(names, dict.fromkeys(models), dict.fromkeys(hosts), sorted(set(batches)))
    return [
        RunConfig(model=model, device=device, host_ms=host, batch_size=batch, **options)
        for device, model, host, batch in combinations
    ]


def spelled(device: str) -> str:
    """Return the one name of a device that has several: what `auto` is here, and which GPU is modelled."""
    chosen = devices.choose(device)
    return f"modelled:{chosen.gpu.key}" if chosen.kind == "modelled" and chosen.gpu else chosen.kind


def is_fixed(config: RunConfig) -> bool:
    """Return whether a cell's times depend on nothing but its configuration: nothing of the machine is measured."""
    return config.device.startswith("modelled") and config.host_ms is not None


def place(config: RunConfig, folder: Path) -> Path:
    """Return where a cell is kept: another configuration, version or device has another name, so none is mixed up."""
    chosen = devices.choose(config.device)
    identity = {
        "schema": SCHEMA,
        "config": asdict(config),
        "model": repr(config.architecture),
        "device": devices.make(config, chosen).name,
        "environment": environment(chosen.kind != "modelled"),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    device, host = (
        config.device.replace(":", "-"),
        "measured" if config.host_ms is None else f"{config.host_ms:g}ms",
    )
    return (
        folder
        / f"{config.architecture.key}-{device}-host-{host}-b{config.batch_size}-{digest}.json"
    )


def keep(cell: Cell, path: Path) -> None:
    """Write a cell, whole or not at all."""
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    document = {"schema": SCHEMA, **asdict(cell)}
    draft.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def kept(config: RunConfig, folder: Path) -> Cell | None:
    """Return a cell that was run to its end before; None where it was not, or where its file cannot be used."""
    try:
        stored = json.loads(place(config, folder).read_text(encoding="utf-8"))
        done = stored["state"] == DONE and stored["config"] == asdict(config)
        return Cell(config, DONE, None, stored["summary"]) if done else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sweep(
    configs: Sequence[RunConfig], folder: Path, jobs: int = 1, progress: Progress | None = None
) -> Iterator[Cell]:
    """Run cells and yield each when it has ended and is kept in `folder`, which is there.

    Up to `jobs` cells whose times are fixed run at once; then the others, alone. `progress` is called after the steps
    of a cell that runs in this process. A cell that cannot be run or fails is yielded like any other. Ctrl-C
    (KeyboardInterrupt) and an end of the iteration stop what is running, and that is not kept.
    """
    fixed = [c for c in configs if is_fixed(c)]
    alone = [c for c in configs if not is_fixed(c)]
    jobs = min(jobs, len(fixed))
    if jobs > 1:
        for cell in _side_by_side(fixed, jobs):
            keep(cell, place(cell.config, folder))
            yield cell
    else:
        alone = [*fixed, *alone]
    if not all(map(is_fixed, alone)):
        run(
            WARM_UP
        )  # Python specialises its code as it runs: the first steps would cost the host more
    for config in alone:
        cell = measure(config, progress)
        keep(cell, place(config, folder))
        yield cell


def measure(config: RunConfig, progress: Progress | None = None) -> Cell:
    """Run a cell here; what keeps it from running is said in it. Raises KeyboardInterrupt where that stopped it."""
    try:
        if problem := devices.misfit(config, devices.choose(config.device)):
            return Cell(config, REFUSED, problem, None)
        result = run(
            config,
            None if progress is None else lambda mode, engine: progress(config, mode, engine),
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return Cell(config, DONE, None, result.summary())
    except ConfigError as error:
        cell = Cell(config, REFUSED, str(error), None)
    except Exception as error:  # whatever it is, the other cells can be run
        cell = Cell(config, FAILED, described(error), None)
    devices.free_memory()  # the error, which knew of all that was in use, is gone by now
    return cell


def _side_by_side(configs: Sequence[RunConfig], jobs: int) -> Iterator[Cell]:
    """Run cells in so many processes; yield them as they end."""
    ours = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        waiting = {pool.submit(measure, config): config for config in configs}
        for future in as_completed(waiting):
            try:
                cell = future.result()
            except BrokenProcessPool:
                reason = "its process or one beside it was ended from outside, perhaps for want of memory: run it again"
                cell = Cell(waiting[future], FAILED, reason, None)
            yield cell
    except BaseException:
        for process in set(multiprocessing.active_children()) - ours:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
