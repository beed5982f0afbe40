"""What a device's trace was and what it would be: in figures, in words, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.documents import (
    LeverDocument,
    PredictionDocument,
    ShortPredictionDocument,
)
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.profiler_cost import unprofiled_is_known
from idlescope.analysis.prediction.what_if import IN_WORDS, WhatIf
from idlescope.trace.watch_said import recorder

WORTH = 0.005  # of the time: a change that saves less is called none
STEPS_NAMED = 5  # in a sentence


class Lever(Struct, frozen=True):
    """One change on top of what was asked for, and what it makes of it."""

    name: str
    change: WhatIf  # with what was asked for
    predicted: Outcome


class Prediction(Struct, frozen=True):
    """What one device's trace was, and what it would be."""

    result: MeasuredDevice
    depth: int | None  # steps in flight as recorded; None: asynchronous but for a wait
    what: WhatIf
    recorded: Outcome
    predicted: Outcome
    bound: Outcome  # the same with a host that costs nothing
    levers: tuple[Lever, ...]  # each on top of what was asked for
    unprofiled: (
        Outcome | None
    )  # as recorded, without the profiler; None: no profiler, or not told
    exposed_ns: (
        float  # idle of the window per step, without pauses and for want of requests
    )
    host_bound: tuple[
        int, ...
    ]  # numbers of the steps whose host work exceeds their device time

    def __repr__(self) -> str:
        return f"<Prediction of device {self.result.device.index}: {self.text()}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what it amounts to, and a row per case."""
        from idlescope.analysis.notebook import shown

        rows = [
            (label, f"{outcome.step_ns / 1e6:,.2f} ms", f"{outcome.compute_idle_pct:.2f} %")
            for label, outcome in self.cases()
        ]
        return shown(self.text(), ("", "per step", "compute idle"), rows)

    def cases(self) -> list[tuple[str, Outcome]]:
        """Return each case with its name: as recorded, as asked for, its bound, further changes."""
        without = []
        if self.unprofiled is not None:
            how = "known" if self.unprofiled_is_known else "estimated"
            without = [(f"without {self.recorder}, {how}", self.unprofiled)]
        return [
            (f"recorded, {IN_WORDS.get(self.depth or 0, 'serialised')}", self.recorded),
            *without,
            (self.what.text(), self.predicted),
            ("  + host that is free", self.bound),
            *((f"  + {lever.name}", lever.predicted) for lever in self.levers),
        ]

    @property
    def recorder(self) -> str:
        """Return what makes recorded steps longer, in words."""
        return recorder(self.result.view.trace.meta)

    @property
    def unprofiled_is_known(self) -> bool:
        """Return whether the time of a step without the profiler is known, not only estimated."""
        return unprofiled_is_known(self.result)

    @property
    def base(self) -> Outcome:
        """Return what all savings are measured against: what is predicted, as it was recorded.

        Without the profiler where the time of a step without it is known: then the prediction is
        without it, too.
        """
        if self.unprofiled is not None and self.unprofiled_is_known:
            return self.unprofiled
        return self.recorded

    def text(self) -> str:
        """Return what it amounts to, in a few sentences."""
        recorded_ms = self.base.step_ns / 1e6
        predicted_ms = self.predicted.step_ns / 1e6
        free_ms = self.bound.step_ns / 1e6
        recorded_depth = self.depth or 0
        already = recorded_depth > 1
        sentences = []
        if already:
            sentences.append(_exposed_text(self))
        if already and self.what == WhatIf(recorded_depth):
            step = f"A step takes {recorded_ms:.2f} ms"
        else:
            changed = self.what.text().capitalize()
            step = f"{changed}: {predicted_ms:.2f} ms per step instead of {recorded_ms:.2f}"
            step += f" ({_change_text(self)})"
        sentences.append(f"{step}; with a host that costs nothing {free_ms:.2f} ms.")
        sentences += _savings_text(self)
        sentences += _profiler_text(self)
        return " ".join(sentences)

    def document(self) -> PredictionDocument:
        """Return the device's entry of `predict --json`."""
        device = self.result.device
        levers = [
            LeverDocument(lever.name, **lever.predicted.figures()) for lever in self.levers
        ]
        return PredictionDocument(
            process=device.process_name,
            device=device.index,
            name=device.name,
            steps_found_by=self.result.steps.found,
            recorded_depth=self.depth,
            what=self.what.text(),
            recorded=self.recorded.document(),
            predicted=self.predicted.document(),
            host_free=self.bound.document(),
            levers=levers,
            exposed_ms_per_step=self.exposed_ns / 1e6,
            host_bound_steps=list(self.host_bound),
            text=self.text(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the device's entry of `predict --json` as JSON values."""
        return dict(msgspec.to_builtins(self.document()))

    def short(self) -> dict[str, Any]:
        """Return the device's `predicted` of `analyze --json` as JSON values."""
        document = ShortPredictionDocument(
            recorded_depth=self.depth,
            depth=self.what.depth,
            **self.predicted.figures(),
            exposed_ms_per_step=self.exposed_ns / 1e6,
            host_bound_steps=len(self.host_bound),
            text=self.text(),
        )
        return dict(msgspec.to_builtins(document))


def _change_text(prediction: Prediction) -> str:
    """Return by how much the time changes, and how far off that may be."""
    predicted = prediction.predicted
    saved = predicted.less_than(prediction.base)
    change = "no change"
    if abs(saved) >= WORTH:
        change = f"{abs(100 * saved):.1f} % {'less' if saved > 0 else 'more'}"
    if predicted.margin_ns is None:
        return f"{change}; too few steps to tell how far off"
    return f"{change}, ± {percent(predicted.margin_ns, predicted.total_ns):.2f} %"


def _exposed_text(prediction: Prediction) -> str:
    """Return what idle an asynchronous trace still exposes, and where its host is the slower."""
    count, slow = prediction.recorded.steps, prediction.host_bound
    where = (
        f"in {len(slow)} of {count} steps the host works longer than the device computes"
    )
    if not slow:
        where = "in no step does the host work longer than the device computes"
    elif len(slow) < count:
        where += f" ({_numbers(slow)})"
    pauses = " between pauses" if prediction.result.spread.pauses else ""
    exposed = f"{prediction.exposed_ns / 1e6:.3f} ms per step is still exposed"
    return f"Asynchronous already: {exposed}{pauses}; {where}."


def _profiler_text(prediction: Prediction) -> list[str]:
    """Return a sentence on the profiler's share; none where no profiler's is known."""
    if prediction.unprofiled is None:
        return []
    recorded_ms = prediction.recorded.step_ns / 1e6
    without_ms = prediction.unprofiled.step_ns / 1e6
    less = prediction.unprofiled.less_than(prediction.recorded)
    if less < WORTH and prediction.result.unprofiled is None:
        return []
    if prediction.unprofiled_is_known:
        name = prediction.recorder
        return [f"All without {name}, under which a step took {recorded_ms:.2f} ms."]
    return [
        f"All under the profiler: without it a step takes about {without_ms:.2f} ms, as estimated "
        "from what it recorded."
    ]


def _savings_text(prediction: Prediction) -> list[str]:
    """Return a sentence on what further changes save; none where there are none."""
    if not prediction.levers:
        return []
    worth, nothing = [], []
    for lever in prediction.levers:
        share = lever.predicted.less_than(prediction.predicted)
        if share < WORTH:
            nothing.append(lever.name)
        else:
            worth.append((share, lever.name))
    worth.sort(reverse=True)
    savings = []
    if worth:
        named = [f"{name} {100 * share:.1f} %" for share, name in worth]
        savings.append(_listed(named, "and"))
    if nothing:
        savings.append(f"none from {_listed(nothing, 'or')}")
    return [f"Further savings: {'; '.join(savings)}."]


def _listed(words: Sequence[str], last: str) -> str:
    """Return words as a list in a sentence, `last` standing before the last of them."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _numbers(numbers: Sequence[int]) -> str:
    """Return step numbers in words, the first few of them."""
    shown = ", ".join(map(str, numbers[:STEPS_NAMED]))
    more = len(numbers) - STEPS_NAMED
    plural = "s" if len(numbers) > 1 else ""
    return f"step{plural} {shown}{f' and {more} more' if more > 0 else ''}"
