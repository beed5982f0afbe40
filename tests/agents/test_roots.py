"""An agent has only those files read that the user gave."""

from __future__ import annotations

import pytest

from idlescope.agents.roots import Roots
from idlescope.errors import ConfigError


@pytest.fixture
def given(tmp_path):
    (tmp_path / "given" / "ranks").mkdir(parents=True)
    (tmp_path / "given" / "a.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    return tmp_path / "given"


def test_what_lies_inside_is_read(given, monkeypatch):
    roots = Roots([given])
    assert roots.allowed(str(given / "a.json")) == given / "a.json"
    assert roots.allowed(str(given)) == given
    monkeypatch.chdir(given)
    assert roots.allowed("a.json") == given / "a.json"
    assert Roots([given / "a.json"]).allowed("a.json") == given / "a.json"


@pytest.mark.parametrize(
    "asked",
    ["../other.json", "ranks/../../other.json", "/etc/passwd", "/nowhere/at/all", ".."],
)
def test_nothing_outside_is_and_whether_it_is_there_is_not_said(given, monkeypatch, asked):
    monkeypatch.chdir(given)
    with pytest.raises(
        ConfigError, match="only what `idlescope mcp` was given may be read"
    ):
        Roots([given]).allowed(asked)


def test_links_that_lead_outside_are_not_followed(given):
    (given / "link.json").symlink_to(given.parent / "other.json")
    (given / "ranks" / "rank1.json").symlink_to(given.parent / "other.json")
    with pytest.raises(ConfigError, match="only what"):
        Roots([given]).allowed(str(given / "link.json"))
    with pytest.raises(ConfigError, match="holds a link that leads elsewhere"):
        Roots([given]).allowed(str(given / "ranks"))


@pytest.mark.parametrize(
    "asked", ["https://169.254.169.254/latest", "s3://bucket/trace.json"]
)
def test_urls_are_not_opened(given, asked):
    with pytest.raises(ConfigError, match="URLs are not opened"):
        Roots([given]).allowed(asked)


def test_a_root_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="is not there"):
        Roots([tmp_path / "none"])
