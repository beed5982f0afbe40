"""What a run returns: the recording of each mode, its figures, and what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from idlescope.analysis.drawn import Drawn
from idlescope.analysis.notebook import shown
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.analysis.prediction.published_host import with_published_host
from idlescope.experiment.config import CLOSED, TRANSFORMERS, RunConfig
from idlescope.experiment.device_choice.base import DeviceChoice
from idlescope.experiment.document import (
    SCHEMA,
    Load,
    PublishedHost,
    RunDevice,
    Statements,
    Summary,
)
from idlescope.experiment.environment import environment
from idlescope.experiment.mode_run import MODE_COLUMNS, ModeRun
from idlescope.experiment.modes import Mode
from idlescope.experiment.statements import (
    YOUR_ENGINE,
    Compared,
    published_document,
    published_tells_nothing,
    said_of_published,
    this_engine,
)
from idlescope.hardware.gpus import GPU


@dataclass(frozen=True, repr=False)
class Run(Drawn):
    """What `run` returns: every mode that was run, and how they compare.

    A notebook shows it as a small table.
    """

    config: RunConfig
    choice: DeviceChoice
    device: RunDevice
    modes: dict[str, ModeRun]  # by "sync" and "async"
    notes: tuple[str, ...]
    # the highest rate that keeps --target, times the run's own: None of none, infinite of every one
    rate_factors: dict[str, float | None] = field(default_factory=dict)

    @property
    def gpu(self) -> GPU | None:
        """Return the GPU whose peaks the rooflines are drawn with.

        None where they are not known.
        """
        return self.choice.gpu

    @property
    def interrupted(self) -> bool:
        """Return whether the run was stopped before its end."""
        if set(self.modes) != set(self.config.modes):
            return True
        return any(run.interrupted for run in self.modes.values())

    @property
    def speedup(self) -> float | None:
        """Return synchronous time over asynchronous time.

        None unless both modes ran to their end.
        """
        if self.interrupted or set(self.modes) != set(Mode):
            return None
        return self.modes[Mode.SYNC].total_ns / self.modes[Mode.ASYNC].total_ns

    def predicted(self) -> Outcome | None:
        """Return what the synchronous run predicts of the asynchronous one.

        None unless the former ran to its end, with all requests there at its start: a replay does
        not wait for others. None also where transformers computes in the host's own call, so that
        nothing can overlap.
        """
        sync_run = self.modes.get(Mode.SYNC)
        if sync_run is None or sync_run.interrupted or self.config.demand.open:
            return None
        if self.config.engine == TRANSFORMERS and not self.choice.overlaps:
            return None
        return asynchronous(sync_run.result)

    @cached_property
    def statements(self) -> Statements:
        """Return what the run shows, a sentence for each question it answers."""
        compared = Compared(
            modes=self.modes,
            device=f"{'' if self.device.measured else 'a '}{self.device.name}",
            noun=self.choice.noun,
            load=self.load,
            interrupted=self.interrupted,
        )
        if self.interrupted:
            return Statements(this_engine(compared), None, None)
        return Statements(this_engine(compared), self._said_of_published(), YOUR_ENGINE)

    def _said_of_published(self) -> str | None:
        """Return what the published engine's host would make of the steps, or why not.

        None where the question does not arise.
        """
        if self.published is not None:
            return said_of_published(self.published)
        if self._own_host and not published.tells_of(self._cached_tokens):
            return published_tells_nothing(self._cached_tokens)
        return None

    @cached_property
    def load(self) -> Load | None:
        """Return the load that arrived; None where all requests were there at the start."""
        demand, config = self.config.demand, self.config
        if not demand.open:
            return None
        between_ns = int(demand.arrival_ns.max() - demand.arrival_ns.min())
        rate = 1e9 * (len(demand) - 1) / max(between_ns, 1)
        return Load(
            arrival=config.arrival if config.arrival != CLOSED else str(config.workload),
            requests_per_s=rate,
            no_demand_pct={name: run.no_demand_pct for name, run in self.modes.items()},
            idle_with_work_pct={
                name: run.idle_with_work_pct for name, run in self.modes.items()
            },
            target=config.target,
            highest_requests_per_s=self._highest_rates(rate),
        )

    def _highest_rates(self, rate: float) -> dict[str, float | None] | None:
        """Return the highest rates that keep the target; None where none was asked for."""
        if not self.rate_factors:
            return None
        return {
            name: None if factor == float("inf") else rate * (factor or 0.0)
            for name, factor in self.rate_factors.items()
        }

    @cached_property
    def published(self) -> PublishedHost | None:
        """Return what the run's steps would idle with the host of a published engine.

        None where requests arrive meanwhile, where the host's time was fixed by --host-ms, of a run
        of that engine, and of numbers of cached tokens for which that host was not measured.
        """
        if not self._own_host:
            return None
        mode_run = self._judged
        replayed = with_published_host(mode_run.trace, mode_run.result, self._cached_tokens)
        return None if replayed is None else published_document(replayed)

    @property
    def _own_host(self) -> bool:
        """Return whether the steps have our own engine's host work, which another may replace."""
        config = self.config
        fixed = config.host_ms is not None or config.engine == TRANSFORMERS
        return not fixed and not self.interrupted and not config.demand.open

    @property
    def _judged(self) -> ModeRun:
        """Return the mode whose steps are replayed."""
        return self.modes.get(Mode.SYNC) or self.modes[Mode.ASYNC]

    @property
    def _cached_tokens(self) -> float:
        """Return how many tokens were in the KV cache in a step, on average."""
        return self.config.demand.token_steps_cached / len(self._judged.result.steps)

    def verdict(self) -> str:
        """Return what the run shows, in a few sentences."""
        return " ".join(self.statements.said())

    @cached_property
    def document(self) -> Summary:
        """Return summary.json, typed; it is built once."""
        predicted = self.predicted()
        return Summary(
            schema=SCHEMA,
            config=asdict(self.config),
            device=self.device,
            environment=environment(self.device.measured, self.config.engine),
            modes={
                str(mode_name): run.summary(self.gpu)
                for mode_name, run in self.modes.items()
            },
            speedup=self.speedup,
            predicted=None if predicted is None else predicted.document(),
            load=self.load,
            published_host=self.published,
            verdict=self.verdict(),
            statements=self.statements,
            warnings=list(self.notes),
        )

    def summary(self) -> dict[str, Any]:
        """Return summary.json (`idlescope schema summary` describes it)."""
        document: dict[str, Any] = msgspec.to_builtins(self.document)
        return document

    def __repr__(self) -> str:
        mode_texts = ", ".join(map(repr, self.modes.values()))
        return (
            f"<Run of {self.config.architecture.name} on {self.device.name}: {mode_texts}>"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the statements, and a row per mode."""
        this_engine, *further = self.statements.said()
        return shown(
            this_engine, MODE_COLUMNS, [run.row() for run in self.modes.values()], further
        )
