"""A few mutants of every reader, and all finds of earlier campaigns: figures, or one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.__main__ import TARGETS, case
from tests.fuzz.cases import ONLY_FILE, tried, unpacked

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.case"))
BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path, tmp_path):
    find = unpacked(path.read_bytes())
    assert tried(BY_NAME[find.target], find.files, tmp_path) is None


@pytest.mark.parametrize("name", BY_NAME)
def test_mutants_end_in_figures_or_a_sentence(name, tmp_path):
    for number in range(8):
        assert case(BY_NAME[name], seed=3, number=number, folder=tmp_path) is None


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_not_changed_is_read(name, tmp_path, monkeypatch):
    """The seeds themselves are sound: else nothing of a reader would be tried."""
    from tests.fuzz import mutate

    monkeypatch.setattr(mutate, "of_json", lambda document, random: document)
    monkeypatch.setattr(mutate, "of_bytes", lambda data, random: data)
    monkeypatch.setattr(mutate, "of_column", lambda values, random: values)
    if name in ("sqlite", "rpd", "rocpd", "parquet", "recording", "options", "phases"):
        pytest.skip("its mutants are made otherwise")
    target = BY_NAME[name]
    from random import Random

    files = target.mutant(Random(1))
    path = tmp_path / f"case{target.suffix}"
    if list(files) == [ONLY_FILE]:
        path.write_bytes(files[ONLY_FILE])
    else:
        for file_name, content in files.items():
            (path / file_name).parent.mkdir(parents=True, exist_ok=True)
            (path / file_name).write_bytes(content)
    target.read(path)
