"""What commands print on terminals of 60, 80 and 200 columns, to the letter."""

from __future__ import annotations

import pytest

from tests.make.screens import SCREENS, SCREENS_KEPT, path, screen


@pytest.mark.parametrize(("name", "width"), SCREENS_KEPT)
def test_a_screen_is_the_one_that_is_known(name, width):
    shown = screen(name, width)
    assert shown == path(name, width).read_text(encoding="utf-8")
    next_line = shown.splitlines()[-1]
    assert next_line.startswith("next: idlescope ")
    others = [line for line in shown.splitlines() if line != next_line]
    assert max(map(len, others)) <= max(width, 100 if name in ("check", "watch") else 0)


def test_every_screen_that_is_kept_is_made():
    assert {file.name for file in SCREENS.iterdir()} == {
        path(name, width).name for name, width in SCREENS_KEPT
    }
