"""How large a difference can be by chance: a bootstrap whose intervals hold for all figures at once.

Where many figures are looked at, one in twenty leaves a 95 % interval of its own by chance. So the intervals are as
wide as the largest of all deviations asks for, each measured in its own standard error (single-step max-T; Westfall
and Young, "Resampling-based multiple testing", 1993, section 2.6), and that maximum is divided by the chance that a
standard error from few samples is itself too small (multivariate t; Hothorn, Bretz and Westfall, "Simultaneous
inference in general parametric models", 2008).
"""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import Float64

LEVEL = 0.95  # that every interval holds its true value
RESAMPLES = 2000
_SEED = 0  # equal input, equal intervals


def of_blocks(differences: Float64) -> Float64:
    """Return half the width of the interval about the mean of each column; rows are blocks, in order.

    A block is a stretch of consecutive steps, long enough that the next one hardly depends on it (block bootstrap;
    Carlstein, "The use of subseries values for estimating the variance of a general statistic from a stationary
    sequence", 1986). There must be two at least.
    """
    n = differences.shape[0]
    random = np.random.default_rng(_SEED)
    times = random.multinomial(n, np.full(n, 1 / n), RESAMPLES)  # how often each block is drawn
    centred = differences - differences.mean(0)
    # a mean of n drawn blocks varies by (n - 1) / n less than one of n new ones
    return _half_widths(times @ centred / n * np.sqrt(n / (n - 1)), n - 1, random)


def of_recordings(base: Float64, other: Float64) -> Float64:
    """Return half the width of the interval about the difference of the sides' medians; rows are recordings.

    Both sides are taken to vary alike, so that one may be a single recording: what is drawn are deviations from the
    mean of their side, of both (Davison and Hinkley, "Bootstrap methods and their application", 1997, section 4.4).
    One side must have two recordings at least.
    """
    several = [side for side in (base, other) if len(side) > 1]
    pool = np.concatenate([(s - s.mean(0)) * np.sqrt(len(s) / (len(s) - 1)) for s in several])
    random = np.random.default_rng(_SEED)

    def medians(size: int) -> Float64:
        return np.asarray(np.median(pool[random.integers(0, len(pool), (RESAMPLES, size))], axis=1), np.float64)

    drawn = medians(len(other)) - medians(len(base))
    return _half_widths(drawn, len(base) + len(other) - 2, random)


def _half_widths(drawn: Float64, freedom: int, random: np.random.Generator) -> Float64:
    """Return how far each column may deviate; `drawn` are deviations by chance, a row a resample."""
    error = np.sqrt((drawn**2).mean(0))
    score = np.abs(drawn) / np.where(error > 0, error, 1.0)
    too_small = np.sqrt(random.chisquare(freedom, RESAMPLES) / freedom)
    return np.asarray(np.quantile(score.max(1) / too_small, LEVEL) * error, np.float64)
