"""How large a difference can be by chance: bootstraps whose intervals hold for all figures at once.

Where many figures are looked at, one in twenty leaves a 95 % interval of its own by chance. So the
intervals are as wide as the largest of all deviations asks for, each measured in its own standard
error (single-step max-T; Westfall and Young, "Resampling-based multiple testing", 1993, section
2.6).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from idlescope.trace.table import Float64

LEVEL = 0.95  # that every interval holds its true value
RESAMPLES = 4000
CORRELATION = 0.6  # of a step with the one before it; 0.2 to 0.8 in runs on the CPU device
_SEED = 0  # equal input, equal intervals


def of_blocks(differences: Float64, length: float) -> Float64:
    """Return half the width of the interval about the mean of each column; rows are blocks.

    A block is a stretch of so many consecutive steps, by its `length`, that the next one hardly
    depends on it. Blocks are drawn with replacement (block bootstrap; Carlstein, "The use of
    subseries values for estimating the variance of a general statistic from a stationary
    sequence", 1986). The largest deviation is divided by the chance that a standard error from few
    blocks is itself too small (multivariate t; Hothorn, Bretz and Westfall, "Simultaneous inference
    in general parametric models", 2008). There must be two blocks at least.
    """
    blocks = differences.shape[0]
    times_drawn, too_small = _draws(blocks)
    # A mean of drawn blocks varies by (n - 1) / n less than one of as many new blocks.
    widening = np.sqrt(blocks / (blocks - 1))
    centred = differences - differences.mean(0)
    means = times_drawn @ centred / blocks * widening
    error = np.sqrt((means**2).mean(0))
    scores = np.abs(means) / np.where(error > 0, error, 1.0)
    critical = np.quantile(scores.max(1) / too_small, LEVEL)
    return np.asarray(critical * _short_blocks(length) * error, np.float64)


@lru_cache
def _draws(blocks: int) -> tuple[Float64, Float64]:
    """Return how often each block is drawn, and by how much a standard error is too small.

    Both have one row per resample.
    """
    random = np.random.default_rng(_SEED)
    evenly = np.full(blocks, 1 / blocks)
    times_drawn = random.multinomial(blocks, evenly, RESAMPLES).astype(np.float64)
    degrees = blocks - 1
    too_small = np.sqrt(random.chisquare(degrees, RESAMPLES) / degrees)
    return times_drawn, too_small


def _short_blocks(length: float) -> float:
    """Return how much larger the standard error is than blocks tell that depend on each other.

    For steps of which each resembles the one before it by CORRELATION (first-order
    autoregression).
    """
    ratio = CORRELATION
    # The variance of the mean of many steps, times their number, over that of one step.
    endless = (1 + ratio) / (1 - ratio)
    missing = 2 * ratio * (1 - ratio**length) / (length * (1 - ratio) ** 2)
    return float(np.sqrt(endless / (endless - missing)))


def of_recordings(base: Float64, other: Float64, *, independent: int) -> Float64:
    """Return half the width of the interval about the difference of the sides' medians.

    Rows are recordings. Both sides are taken to vary alike, so that one may be a single recording;
    `independent` is how many of the columns vary by themselves. There are too few recordings to
    draw from them with replacement: as many are drawn from the normal distribution, and the same
    statistic is formed of these, the difference of medians over the standard deviation about the
    means (parametric bootstrap of a studentised statistic; Davison and Hinkley, "Bootstrap methods
    and their application", 1997, sections 2.2 and 2.4). One side must have two recordings at least.
    """
    critical = _critical(len(base), len(other), independent)
    return np.asarray(critical * _deviation(base, other), np.float64)


@lru_cache
def _critical(base: int, other: int, independent: int) -> float:
    """Return how many deviations the largest of so many differences of medians has by chance."""
    random = np.random.default_rng(_SEED)
    base_drawn, other_drawn = (
        random.standard_normal((size, RESAMPLES, independent)) for size in (base, other)
    )
    difference = np.median(other_drawn, axis=0) - np.median(base_drawn, axis=0)
    scores = np.abs(difference) / _deviation(base_drawn, other_drawn)
    return float(np.quantile(scores.max(1), LEVEL))


def _deviation(base: Float64, other: Float64) -> Float64:
    """Return the standard deviation of both sides about their own means; rows are recordings."""
    squares = sum(((side - side.mean(0)) ** 2).sum(0) for side in (base, other))
    degrees = len(base) + len(other) - 2
    return np.asarray(np.sqrt(squares / degrees), np.float64)
