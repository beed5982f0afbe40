"""What a watch costs is found though turns differ by more, and some are spoiled (tests/gpu/by_turns.py)."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from tests.gpu import by_turns

OFF, ON, SETTLED = (by_turns.STATES.index(state) for state in ("off", "on", "settled"))
DECODE = 2
US = 1_000


def written(folder, lengths_of_turns):
    """Write steps of turns that are off and on by turns; return the file."""
    rows, now = array("q"), 0
    for turn, lengths in enumerate(lengths_of_turns):
        for length in lengths:
            rows.extend((ON if turn % 2 else OFF, turn, now, DECODE, 32))
            now += int(length)
    path = folder / "1.steps"
    path.write_bytes(rows.tobytes())
    return path


@pytest.fixture
def turns():
    """Steps of 8 ms that drift and scatter, 50 us longer in every other turn; one turn is spoiled."""
    draw = np.random.default_rng(7)
    lengths = 8_000 * US + draw.normal(0, 200 * US, (41, by_turns.STEPS))
    lengths += np.linspace(0, 800 * US, 41)[:, None]
    lengths[1::2] += 50 * US
    lengths[7] += 3_000 * US
    lengths[:, 1] += 40_000 * US  # a beginning turn does not count
    return lengths


def test_the_cost_is_found_within_its_error(tmp_path, turns):
    found = by_turns.compared(written(tmp_path, turns), "on", DECODE)
    assert found.turns == 20
    assert abs(found.cost_us - 50) < 3 * found.error_us < 60
    assert found.other_ms == pytest.approx(8.4, abs=0.1)
    assert found.settling_us == 0


def test_steps_beside_which_something_is_settled_are_told_apart(tmp_path, turns):
    path = written(tmp_path, turns)
    rows = by_turns.rows_of(path)
    turn_start = next(row[2] for row in rows if row[1] == 11)
    with path.open("ab") as file:
        array("q", (SETTLED, 11, turn_start, turn_start + 10_000_000_000, 0)).tofile(file)
    assert by_turns.compared(path, "on", DECODE).turns < 20


def test_too_few_turns_tell_nothing(tmp_path, turns):
    assert by_turns.compared(written(tmp_path, turns[:6]), "on", DECODE) is None
