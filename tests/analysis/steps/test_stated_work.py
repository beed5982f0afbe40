"""Names of steps say how much there was to do."""

import pytest

from idlescope.analysis.steps.stated_names import parse


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("execute_new_0_cached_32", (32, 32, -1, -1)), ("execute_new_2_cached_30", (32, -1, -1, -1)),
        ("execute_context_0(0)_generation_32(32)", (32, 32, -1, -1)),
        ("execute_context_1(888_788544)_generation_0(0)", (1, 888, -1, -1)),
        ("execute_context_2(500)_generation_30(30)", (32, 530, -1, -1)),
        # of 32 requests that decode, a query each: as many pairs as there are keys
        ("execute_32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk55086sqsq32sqsk55086)", (32, 32, 55086, 55070)),
        # a prompt of 100 tokens: half of its square
        ("execute_100_context_1(sq100sk100sqsq10000sqsk10000)_generation_0(sq0sk0sqsq0sqsk0)", (1, 100, 100, 5000)),
        ("step[DECODE bs=32]", (32, 32, -1, -1)), ("step[EXTEND bs=2 toks=700]", (2, 700, -1, -1)),
        ("step[EXTEND bs=2]", (2, -1, -1, -1)),
        ("execute_context_1(odd)_generation_0(0)", (1, -1, -1, -1)),
        # what no step has: a column could not hold it, nor Python read it
        (f"step[DECODE bs={'9' * 19}]", None), (f"execute_new_{'9' * 5_000}_cached_1", None),
        ("schedule: new 1", None), ("execute_model", None), ("step 3", None),
    ],
)  # fmt: skip
def test_names_of_steps_say_how_much_there_was_to_do(name, work):
    stated = parse(name)
    assert (None if stated is None else stated[:4]) == work
