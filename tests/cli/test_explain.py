"""`idlescope explain`: what a word of a result means, and what to do about it."""

from __future__ import annotations

import json

import msgspec
import pytest

from idlescope.analysis.explain.words import ENTRIES
from idlescope.cli.documents import struct_of
from tests.conftest import FIXTURES
from tests.make.commands import idlescope, imported_by, refused


def test_a_word_is_explained_in_full():
    shown = idlescope("explain", "serialised", columns=80)
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert text.startswith(
        "serialised verdict, batching The loop is meant to be asynchronous"
    )
    for label in (
        "measured",
        "vLLM",
        "SGLang",
        "TensorRT-LLM",
        "a loop of your own",
        "what to do",
    ):
        assert f"\n{label}  " in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert shown.stdout.splitlines()[-1].startswith("next: idlescope explain synchronous")


def test_words_of_two_words_need_no_quotes():
    assert idlescope("explain", "cannot", "tell").stdout.startswith("cannot tell ")


@pytest.mark.parametrize("name", ["loop_sync", "transformers_sync", "vllm_8b_async"])
def test_whatever_a_result_says_is_explained(name):
    path = FIXTURES / f"{name}.json.gz"
    (device,) = json.loads(idlescope("analyze", path, "--json").stdout)["devices"]
    words = [
        device["verdict"]["kind"],
        device["batching"]["kind"],
        device["spread"]["kind"],
    ]
    for word in (*words, *device["cause_ns"], *device["host_ns"]):
        assert idlescope("explain", word).returncode == 0, word


def test_without_a_word_all_are_listed():
    shown = " ".join(idlescope("explain", columns=200).stdout.split())
    assert all(entry.name.split(",")[0] in shown for entry in ENTRIES)


def test_as_json():
    text = idlescope("explain", "gap", "--json").stdout
    document = msgspec.json.decode(text, type=struct_of("explanations"), strict=True)
    assert [entry.name for entry in document.entries] == ["gap"]
    assert json.loads(msgspec.json.encode(document)) == json.loads(text)
    assert len(json.loads(idlescope("explain", "--json").stdout)["entries"]) == len(ENTRIES)


def test_an_unknown_word_is_one_sentence_with_the_nearest():
    refused(idlescope("explain", "syncronous"), "did you mean synchronous or asynchronous?")
    refused(idlescope("explain", "\x1b[31m"), "is not explained")


def test_nothing_heavy_is_imported_for_it():
    heavy = ("numpy", "pandas", "matplotlib", "pyarrow")
    assert imported_by(["explain", "host"], heavy) == []
