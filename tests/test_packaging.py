"""What is packaged: the recipe, the container and the slim installation say what pyproject.toml says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.make.commands import without

ROOT = Path(__file__).resolve().parents[1]
CI = ROOT / ".ci"
pytestmark = pytest.mark.skipif(not CI.exists(), reason="an sdist is without .ci")
LEFT_OUT = ("jinja2", "matplotlib", "nvtx", "pandas", "pyarrow")
NAMES_OF_CONDA = {"matplotlib-base": "matplotlib"}


def core():
    """The core's dependencies by name, with their bounds."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    section = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)[1]
    found = re.findall(r'^ *"([\w-]+)([^";]*)', section, re.MULTILINE)
    return {name: bounds.strip() for name, bounds in found}


def listed(text):
    rows = re.findall(r"^([\w-]+)([><=!].*)$", text, re.MULTILINE)
    return {name: bounds.strip() for name, bounds in rows}


def test_the_slim_list_is_the_core_without_what_is_left_out():
    slim = listed((CI / "slim.txt").read_text("utf-8"))
    assert slim == {name: bounds for name, bounds in core().items() if name not in LEFT_OUT}


def test_the_recipe_has_the_cores_dependencies_and_version():
    text = (CI / "conda" / "recipe.yaml").read_text("utf-8")
    run = re.search(r"^  run:\n(.*?)(?=^  \w|^\w)", text, re.DOTALL | re.MULTILINE)[1]
    rows = dict(re.findall(r"^ +- ([\w-]+) (\S+)", run, re.MULTILINE))
    del rows["python"]
    named = {NAMES_OF_CONDA.get(name, name): bounds for name, bounds in rows.items()}
    known = core()
    constrained = re.search(r"- nvtx (\S+)", text)[1]
    assert constrained == known.pop("nvtx")
    assert named == known
    from idlescope import __version__

    assert f"version: {__version__}\n" in text


def test_what_the_container_copies_is_there():
    text = (CI / "Containerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
    assert "USER 1000" in text


TRACE = FIXTURES / "loop_sync.json.gz"
JUDGING = (
    ("analyze", TRACE),
    ("predict", TRACE),
    ("compare", TRACE, FIXTURES / "loop_item.json.gz"),
    ("check", TRACE, "--max-idle", "50%"),
    ("analyze", FIXTURES / "nsys_cpu.sqlite"),
    ("convert", TRACE, "t.json.gz"),
)


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """A folder, and what commands end in with a slim installation, which lacks what it leaves out."""
    folder = tmp_path_factory.mktemp("slim")
    commands = (*JUDGING, ("analyze", TRACE, "--out", "out"))
    return folder, without(LEFT_OUT, commands, folder)


@pytest.mark.parametrize("which", range(len(JUDGING)), ids=lambda which: JUDGING[which][0])
def test_a_slim_installation_judges_traces_and_converts_them_to_json(slim, which):
    folder, results = slim
    assert results[which].returncode == 0, results[which].stderr
    if JUDGING[which][0] == "convert":
        assert (folder / "t.json.gz").exists()


def test_what_a_slim_installation_lacks_is_said_in_a_sentence(slim):
    folder, (*_, result) = slim
    assert result.returncode == 2
    assert "which a slim installation leaves out: pip install idlescope" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "out").exists()


def test_the_sdist_holds_no_readmes_of_other_folders():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    included = re.search(r"targets\.sdist\]\ninclude = \[(.*)\]", text)[1]
    assert all(name.startswith('"/') for name in included.split(", "))
