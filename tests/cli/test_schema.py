"""What commands write as JSON is what `idlescope schema` says of it."""

from __future__ import annotations

import json

import msgspec
import pytest

from idlescope.cli.documents import DOCUMENTS, struct_of
from tests.conftest import FIXTURES
from tests.make.commands import idlescope, refused
from tests.make.undrawn import figures_undrawn

RUN = ("--model", "tiny", "--tokens", "20", "--device", "modelled", "--host-ms", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with figures_undrawn():
        result = idlescope("run", *RUN, "--batch-size", "2", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


def check(document, text):
    """Decode strictly, and lose nothing on the way."""
    decoded = msgspec.json.decode(text, type=struct_of(document), strict=True)
    assert msgspec.to_builtins(decoded) == json.loads(text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_schema_is_printed(document):
    result = idlescope("schema", document)
    assert result.returncode == 0, result.stderr
    schema = json.loads(result.stdout)
    assert schema["title"] == f"idlescope {document}"
    assert schema["$defs"]


def test_a_document_that_is_not_known_is_one_sentence():
    refused(idlescope("schema", "tea"), "no document is called 'tea': choose one of ")


def test_summaries_are_what_their_schema_says(run):
    check("summary", (run / "summary.json").read_bytes())


def test_sweeps_are_what_their_schema_says(undrawn, tmp_path):
    result = idlescope(
        "sweep", *RUN, "--batch-size", "1,2", "--json", "--out", tmp_path / "sweep"
    )
    check("sweep", result.stdout.encode())


def test_predictions_are_what_their_schema_says(run):
    check(
        "prediction", idlescope("predict", run, "--mode", "sync", "--json").stdout.encode()
    )


@pytest.mark.parametrize("name", ["loop_sync", "loop_item"])
def test_analyses_are_what_their_schema_says(name):
    result = idlescope("analyze", FIXTURES / f"{name}.json.gz", "--json")
    check("analysis", result.stdout.encode())


def test_a_mode_chooses_of_a_run_folder(run):
    for command in ("analyze", "predict"):
        refused(
            idlescope(command, run),
            "holds sync and async: choose one with --mode sync or --mode async",
        )
        refused(
            idlescope(command, FIXTURES / "loop_sync.json.gz", "--mode", "sync"),
            "is not a folder of `idlescope run`",
        )
    shown = json.loads(idlescope("analyze", run, "--mode", "async", "--json").stdout)
    assert shown["source"]["path"].endswith("async.recording")


def test_comparisons_are_what_their_schema_says():
    fixtures = [FIXTURES / f"{name}.json.gz" for name in ("loop_sync", "loop_item")]
    check("comparison", idlescope("compare", *fixtures, "--json").stdout.encode())


def test_checks_are_what_their_schema_says():
    result = idlescope(
        "check", FIXTURES / "loop_async.json.gz", "--max-idle", "5%", "--json"
    )
    check("check", result.stdout.encode())
