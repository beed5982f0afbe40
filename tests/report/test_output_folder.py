"""The folder that a command writes into never replaces anything unasked, and never the trace."""

from __future__ import annotations

import pytest

from idlescope.errors import ConfigError, OutputExistsError
from idlescope.report import output_folder


class TestClaim:
    def test_a_folder_with_the_trace_in_it_is_refused(self, tmp_path):
        source = tmp_path / "analysis.json"
        source.write_text("{}")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "report.html").hardlink_to(source)
        (tmp_path / "link.json").symlink_to(tmp_path / "out" / "report.html")
        for out, what in (
            (tmp_path, source), (tmp_path / "out", source), (tmp_path, tmp_path), (tmp_path, tmp_path / "link.json"),
            (tmp_path / "out", tmp_path / "link.json"),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match="never changed"):
                output_folder.claim(out, force=True, source=what)

    def test_a_folder_beside_or_below_the_trace_is_taken(self, tmp_path):
        (tmp_path / "a.json").touch()
        output_folder.claim(tmp_path / "out", force=False, source=tmp_path / "a.json")
        output_folder.claim(tmp_path / "o", force=False, source=tmp_path)


class TestClaimed:
    def test_what_fails_leaves_no_empty_folder_behind(self, tmp_path):
        with pytest.raises(KeyError), output_folder.claimed(tmp_path / "out", force=False):
            raise KeyError
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_holds_anything_is_refused_unless_forced(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(OutputExistsError, match="already holds files"):
            output_folder.claim(tmp_path, force=False)
        output_folder.claim(tmp_path, force=True)


def test_the_first_free_name(tmp_path):
    assert output_folder.free_name(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()
    assert output_folder.free_name(tmp_path / "run") == tmp_path / "run-3"
