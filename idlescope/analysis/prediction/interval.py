"""How far from a prediction the true time may lie: by chance, and by the replay's own error.

The two are independent, so their squares add up. Chance alone is no interval: of 8,192 steps that
hardly vary it leaves ± 0.00 %, and the run that they predict takes 0.3 % less or more.
"""

from __future__ import annotations

import numpy as np

from idlescope.trace.table import Bool, Int64

NORMAL_95 = 1.96  # standard deviations that hold 95 % of a normal distribution
FEWEST_DIFFERENCES = 3  # between neighbouring steps, to tell how steps vary
# Of 17 runs on an H200, 16 took within 2.3 % of the time predicted from the synchronous run, and
# their errors have a root mean square of 1.1 % (reports/h200: sweep/sweep.json, published).
MEASURED_ERROR = 0.023
# Of 200 random scenarios on the modelled device 95 % are within 0.2 % and 97 % within 0.3 %
# (tests/benchmarks/predict.py).
MODELLED_ERROR = 0.003


def margin_ns(
    step_end: Int64, prompts: Bool, total_ns: int, *, modelled: bool
) -> int | None:
    """Return half the width of the 95 % interval about a predicted total, in ns.

    `step_end` is when each step's compute ends, `prompts` which steps work on prompts. Returns None
    where the steps are too few to tell how they vary.
    """
    by_chance = _chance_ns(step_end, prompts)
    if by_chance is None:
        return None
    error = MODELLED_ERROR if modelled else MEASURED_ERROR
    return round(float(np.hypot(by_chance, error * total_ns)))


def _chance_ns(step_end: Int64, prompts: Bool) -> float | None:
    """Return the margin that variation from step to step leaves on the sum of all steps.

    Neighbouring steps differ by chance, not by context: half the variance of their difference is
    that of one step. Prompts are no chance, and make the steps beside them differ, too.
    """
    beside_prompt = np.convolve(prompts, np.ones(3), "same")[1:] > 0
    differences = np.diff(np.diff(step_end))[~(beside_prompt[1:] | beside_prompt[:-1])]
    if differences.size < FEWEST_DIFFERENCES:
        return None
    deviation = float(np.std(differences)) / np.sqrt(2)
    return _t_95(differences.size - 1) * deviation * float(np.sqrt(step_end.size))


def _t_95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t, within 2 % from three degrees of freedom.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, equation 26.7.5.
    """
    z = NORMAL_95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3
