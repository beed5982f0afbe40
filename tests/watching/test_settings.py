"""The environment says whether and how a process is watched; what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from idlescope.errors import ConfigError
from idlescope.watching.settings import Settings


@pytest.mark.parametrize(
    ("value", "on", "way"),
    [
        (None, False, None),
        ("0", False, None),
        ("", False, None),
        ("1", True, None),
        ("events", True, "events"),
        ("Activity", True, "activity"),
        ("host", True, "host"),
    ],
)
def test_it_is_off_unless_it_is_asked_for(value, on, way):
    environment = {} if value is None else {"IDLESCOPE_WATCH": value}
    settings = Settings.read(environment)
    assert (settings.on, settings.way) == (on, way)


def test_everything_can_be_said():
    said = {
        "FOLDER": "/a/b", "PORT": "9400", "HOST": "10.0.0.1", "STEPS": "100",
        "RECORD_WHEN": "idle > 10%", "RECORDINGS": "3",
    }  # fmt: skip
    environment = {f"IDLESCOPE_WATCH_{name}": value for name, value in said.items()}
    settings = Settings.read(environment)
    assert settings.folder == Path("/a/b")
    assert (settings.port, settings.host) == (9400, "10.0.0.1")
    assert (settings.steps, settings.recordings) == (100, 3)
    assert settings.record_when == "idle > 10%"


def test_the_folder_is_the_users_own():
    folder = Settings.read({"XDG_RUNTIME_DIR": "/run/user/7"}).folder
    assert folder.parent == Path("/run/user/7")
    assert folder.name.startswith("idlescope-watch-")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDLESCOPE_WATCH", "yes please"),
        ("IDLESCOPE_WATCH_PORT", "http"),
        ("IDLESCOPE_WATCH_PORT", "70000"),
        ("IDLESCOPE_WATCH_PORT", "9" * 5_000),
        ("IDLESCOPE_WATCH_STEPS", "3"),
        ("IDLESCOPE_WATCH_RECORDINGS", "0"),
    ],
)
def test_what_makes_no_sense_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        Settings.read({name: value})
