"""Each input that once broke the tool ends in figures or in one sentence (../shared/hardening/README.md)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from idlescope.analysis.analyze import analyze
from idlescope.cli.actions import view
from idlescope.errors import IdlescopeError
from idlescope.experiment.cells import kept
from idlescope.experiment.config import RunConfig
from idlescope.report.text import to_text
from idlescope.trace.names import span_names, user_file
from idlescope.trace.open import open_trace
from idlescope.trace.scrub.copy import scrub
from tests.fuzz.cases import LONGEST_SENTENCE, limited

HERE = Path(__file__).resolve().parents[2] / "shared" / "hardening"
SHARED = HERE if HERE.is_dir() else Path("/work/shared/hardening")
NO_TRACES = {"README.md", "phases", "fuzz", "atheris", "sweepcell", "viewbad"}


def inputs():
    """Return every trace that lies there, by its place."""
    if not SHARED.is_dir():
        return []
    found = [path for path in SHARED.iterdir() if path.name not in NO_TRACES]
    found += [path for part in ("fuzz", "atheris") for path in (SHARED / part).iterdir()]
    return sorted(found)


pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="../shared/hardening is not here"
)


def said(act):
    """Hold that an input gives figures within 10 s, or is refused in one sentence."""
    sentence = "-"
    try:
        with limited():
            act()
    except IdlescopeError as error:
        sentence = str(error)
    assert 0 < len(sentence) <= LONGEST_SENTENCE


@pytest.mark.parametrize("path", inputs(), ids=lambda path: path.name)
def test_a_trace_is_figures_or_one_sentence(path):
    said(lambda: to_text(analyze(open_trace(path)).to_json()))


@pytest.mark.parametrize(
    "path", [path for path in inputs() if "scrub" in path.name], ids=lambda path: path.name
)
def test_a_trace_is_scrubbed_or_refused(path, tmp_path):
    said(lambda: scrub(path, tmp_path / f"copy{''.join(path.suffixes)}"))


@pytest.mark.parametrize(
    "name",
    ["deep", "empty_rules", "inline_flag", "named_group", "ok_first", "repeat", "backref"],
)
def test_rules_are_used_or_refused(name):
    names = ("step 1", "prepare", "aa", "x")

    def match():
        span_names.recognise(
            names, range(len(names)), user_file.load(SHARED / "phases" / f"{name}.json")
        )

    said(match)


def test_a_broken_cell_is_run_again(tmp_path):
    shutil.copytree(SHARED / "sweepcell", tmp_path / "s")
    assert list((tmp_path / "s" / "cells").iterdir())
    config = RunConfig(
        model="tiny", device="modelled:h200", tokens=4, prompt_tokens=4, batch_size=2
    )
    assert kept(config, tmp_path / "s" / "cells") is None


def test_a_document_that_is_none_is_not_viewed():
    assert view._source(SHARED / "viewbad" / "analysis.json") == ""
