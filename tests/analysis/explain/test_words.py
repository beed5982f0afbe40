"""Every word that a result may print is explained, once, for every kind of loop."""

from __future__ import annotations

import re
from collections import Counter

import msgspec
import pytest

from idlescope.analysis.comparison.change import ComparisonKind
from idlescope.analysis.explain.entry import WordKind
from idlescope.analysis.explain.words import ENTRIES, explained, find, nearest, of_kind
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.concentration import Spread
from idlescope.analysis.idle.host_labels import (
    BETWEEN,
    CALL_PREFIX,
    NO_DEMAND,
    RANGE_PREFIX,
    UNTRACED,
)
from idlescope.analysis.idle.host_time import COLLECTION, PROFILER
from idlescope.analysis.ranks.group_kind import GroupKind
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.verdict.findings import VerdictKind
from idlescope.errors import ConfigError
from idlescope.trace.names.engines import IDLE, PHASES
from idlescope.trace.names.waits import WAITING_FRAMES
from tests.make.explained_readme import README, TABLES, rewritten

HOST_LABELS = (
    PROFILER, COLLECTION, NO_DEMAND, UNTRACED, f"{CALL_PREFIX}cudaStreamSynchronize", f"{RANGE_PREFIX}aten::to",
    f"{BETWEEN}forward and schedule", *(waited for _, waited in WAITING_FRAMES),
    *(phase for phase in PHASES if phase != IDLE),
)  # fmt: skip
# what work/shared/DEFINITIONS.md and analysis/README.md define
TERMS = (
    "device", "operation", "window", "active", "compute", "communication", "exposed communication", "useful compute",
    "waiting in a collective", "transfer", "exposed waiting", "copy-only", "idle", "compute-idle", "gap", "coverage",
    "bounds", "step", "host work", "idle per step", "batching", "prediction", "roofline", "observer", "noise", "creep",
    "TTFT", "time per output token", "latency",
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (WordKind.VERDICT, VerdictKind),
        (WordKind.CAUSE, CAUSES),
        (WordKind.BATCHING, BatchingKind),
        (WordKind.SPREAD, Spread),
        (WordKind.RANKS, GroupKind),
        (WordKind.COMPARISON, ComparisonKind),
    ],
)
def test_an_entry_stands_for_each_word_of_a_kind_and_for_no_other(kind, words):
    assert {entry.name for entry in of_kind(kind)} == {str(word) for word in words}


@pytest.mark.parametrize("label", HOST_LABELS)
def test_what_the_host_did_is_explained_by_its_label(label):
    assert WordKind.HOST in explained(label).kinds
    assert explained(f"{label} › aten::slice") is explained(label)


@pytest.mark.parametrize("term", TERMS)
def test_terms_are_explained(term):
    entry = explained(term)
    assert entry.means
    assert entry.measured


def test_what_has_a_cause_says_it_for_every_loop_and_what_to_do():
    for entry in ENTRIES:
        without_cause = set(entry.kinds) <= {WordKind.TERM, WordKind.COMPARISON}
        assert (entry.usually is None) == without_cause, entry.name
        if entry.usually is not None:
            assert all(entry.usually.by_loop().values())
            assert entry.do, entry.name


def test_sentences_end_and_spellings_mean_one_thing():
    spellings = Counter(
        spelling.lower() for entry in ENTRIES for spelling in (entry.name, *entry.also)
    )
    assert max(spellings.values()) == 1, spellings.most_common(3)
    for entry in ENTRIES:
        assert re.search(r"[.)]$", entry.means), entry.name
        assert not entry.do or re.search(r"[.`]$", entry.do), entry.name
        assert not entry.measured.endswith("."), entry.name
        for name in entry.see:
            assert find(name).name == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Cannot_Tell", "cannot tell"),
        ("HOST-LIMITED", "asynchronous, but the host is the slower side"),
        ("copy-only", "copy only"),
        ("serialized", "serialised"),
        ("prepare (cb:prepare_batch_tensors)", "prepare"),
        ("`gap`", "gap"),
    ],
)
def test_a_word_may_be_written_as_people_do(typed, name):
    assert explained(typed).name == name


def test_of_a_typing_error_the_nearest_words_are_named():
    assert nearest("syncronous")[0] == "synchronous"
    with pytest.raises(ConfigError, match="'pauzes' is not explained: did you mean pauses"):
        explained("pauzes")
    with pytest.raises(ConfigError, match="lists every word"):
        explained("x" * 500)


def test_entries_survive_json():
    text = msgspec.json.encode(ENTRIES)
    assert msgspec.json.decode(text, type=tuple[type(ENTRIES[0]), ...]) == ENTRIES


def test_the_readme_of_the_analysis_says_the_same():
    text = README.read_text("utf-8")
    assert rewritten(text) == text, "run python -m tests.make.explained_readme"
    assert all(f"<!-- explained: {name} -->" in text for name in TABLES)
