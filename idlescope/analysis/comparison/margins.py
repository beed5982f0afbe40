"""How far noise can move each figure of a comparison, and how that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idlescope.analysis.comparison import noise
from idlescope.analysis.comparison.change import Side
from idlescope.analysis.comparison.columns import Layout
from idlescope.trace.table import Float64

ENOUGH_RECORDINGS = 3  # of one side, to tell how runs differ from one another
ENOUGH_BLOCKS = 6
# Of each part that varies within a run: what one recording per side leaves unknown. Of 16 runs on
# the CPU device of a machine that others used, the undisturbed ones varied by 0.6 to 2 % in compute
# and 0.7 to 4 % in a host phase.
RUN_TO_RUN = 0.01
ROUNDING = 1e-9  # of a figure: what varies by less does not vary


class Values(NamedTuple):
    """The columns of both sides; rows are recordings."""

    base: Float64
    other: Float64


class Margins(NamedTuple):
    """Half the width of each column's interval, and where it comes from."""

    margins: Sequence[float | None]  # None where noise is not known
    source: str


def margins_of(base: Side, other: Side, columns: Layout, values: Values) -> Margins:
    """Return the margin of each column: from several recordings, else from blocks of two."""
    counts = len(base.recordings), len(other.recordings)
    if max(counts) >= ENOUGH_RECORDINGS:
        return _of_recordings(base, other, columns, values)
    recordings = (*base.recordings, *other.recordings)
    blocks = min(recording.blocks for recording in recordings)
    if blocks < ENOUGH_BLOCKS:
        return Margins(
            [None] * values.base.shape[1],
            f"not known: less than {ENOUGH_BLOCKS} steps, or figures without their steps; "
            f"give longer recordings, or at least {ENOUGH_RECORDINGS} of one side",
        )
    within = _within_runs(base, other, columns, blocks)
    between = _between_runs(columns, values, within)
    return Margins(
        np.hypot(within, between).tolist(),
        f"from how {blocks} stretches of the recordings differ (block bootstrap), and "
        f"{100 * RUN_TO_RUN:g} % of each part for how one run differs from the next, which "
        f"{ENOUGH_RECORDINGS} recordings of one side would tell",
    )


def _of_recordings(base: Side, other: Side, columns: Layout, values: Values) -> Margins:
    """Return the margins from how several recordings differ.

    Measured recordings that are equal to the nanosecond are copies of one, and tell no noise.
    """
    counts = f"{len(base.recordings)} + {len(other.recordings)}"
    copies = all(np.ptp(side, axis=0).max() == 0 for side in values)
    if copies and not (base.first.modelled and other.first.modelled):
        return Margins(
            [None] * values.base.shape[1],
            f"not known: the {counts} recordings are copies of one for each side; give recordings "
            "of different runs",
        )
    # Host work is mostly a part again, so only totals and parts count as varying by themselves.
    told = np.concatenate(values)[:, : columns.divided.stop]
    varies = np.ptp(told, axis=0) > ROUNDING * told.mean(0)
    independent = max(int(varies.sum()), 1)
    margins = noise.of_recordings(values.base, values.other, independent=independent)
    return Margins(
        margins.tolist(),
        f"from how the {counts} recordings differ (bootstrap of their medians)",
    )


def _within_runs(base: Side, other: Side, columns: Layout, blocks: int) -> Float64:
    """Return the margins from how blocks differ that cover the same part of the run.

    What changes in the course of both sides, such as the length of contexts, is no noise.
    """
    before, after = (
        np.mean(
            [columns.deviations(recording, blocks) for recording in side.recordings], axis=0
        )
        for side in (base, other)
    )
    recordings = (*base.recordings, *other.recordings)
    fewest_steps = min(recording.step_count for recording in recordings)
    return noise.of_blocks(after - before, max(fewest_steps / blocks, 1.0))


def _between_runs(columns: Layout, values: Values, within: Float64) -> Float64:
    """Return how far one run can differ from the next, which single recordings do not tell."""
    size = np.maximum(values.base.mean(0), values.other.mean(0))
    varies = within > ROUNDING * size  # what is fixed within a run is so from run to run
    between = RUN_TO_RUN * size * varies
    for column, parts in enumerate(columns.sums):
        between[column] = np.sqrt(np.sum(between[parts] ** 2))  # parts vary independently
    between[-1] = between[0] * size[-1] / size[0]  # the time per token as that of a step
    return np.asarray(between, np.float64)
