"""`idlescope compare` as a newcomer uses it."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from idlescope.cli.actions.compare import by_mode, split
from idlescope.errors import ConfigError
from idlescope.report.markdown import escaped
from idlescope.trace.recording import files as stored
from tests.conftest import FIXTURES
from tests.make.commands import idlescope, refused
from tests.make.kineto_files import call, operation, span, write
from tests.make.noisy_recordings import recording
from tests.make.undrawn import figures_undrawn

SYNC, ITEM, EAGER = (
    FIXTURES / f"loop_{name}.json.gz" for name in ("sync", "item", "eager")
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Five recordings of one configuration, and three of one whose `prepare` takes 10 % longer."""
    folder = tmp_path_factory.mktemp("recordings")
    for i in range(8):
        name = f"base{i}" if i < 5 else f"new{i - 5}"
        trace = recording(i, 200, between=0.003, factors={} if i < 5 else {"prepare": 1.1})
        stored.write(trace, folder / f"{name}.recording")
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = (
        "--model",
        "tiny",
        "--tokens",
        "40",
        "--host-ms",
        "1",
        "--device-ms",
        "2",
        "--device",
        "modelled",
    )
    with figures_undrawn():
        result = idlescope("run", *options, "--out", folder / "run")
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_two_traces_print_a_table_that_adds_up_and_a_verdict():
    result = idlescope("compare", SYNC, EAGER)
    assert result.returncode == 0, result.stderr
    in_table = result.stdout.partition("─\n")[2].partition("* and bold")[0]
    lines = (re.split(r"   +", line.strip(" *")) for line in in_table.splitlines())
    rows = [cells for cells in lines if len(cells) > 1]
    assert rows[0][0] == "time per step"
    assert rows[0][4] == "+50.11 %"
    parts = rows[1 : [name for name, *_ in rows].index("device active")]
    for side in (1, 2):
        assert sum(float(cells[side]) for cells in parts) == pytest.approx(
            float(rows[0][side]), abs=0.01
        )
    assert "B takes 50.11 % longer per step than A (5.775 ms to 8.668 ms" in " ".join(
        result.stdout.split()
    )


def test_sides_of_several_recordings_stand_beside_vs(recordings):
    base, new = sorted(recordings.glob("base*")), sorted(recordings.glob("new*"))
    result = idlescope("compare", *base, "vs", *new, "--json")
    assert result.returncode == 0, result.stderr
    (found,) = json.loads(result.stdout)["comparisons"]
    assert (len(found["base"]["paths"]), len(found["other"]["paths"])) == (5, 3)
    assert "5 + 3 recordings" in found["noise"]
    assert "idle: host: prepare" in {p["name"] for p in found["parts"] if p["different"]}
    assert found["verdict"]["kind"] in ("slower", "shifted")
    same = json.loads(idlescope("compare", *base[:3], "vs", *base[3:], "--json").stdout)[
        "comparisons"
    ][0]
    assert same["verdict"]["kind"] == "no difference"


def test_further_sides_are_each_compared_with_the_first(run_folder):
    result = idlescope("compare", SYNC, ITEM, EAGER, "--json")
    found = json.loads(result.stdout)["comparisons"]
    assert [(c["base"]["letter"], c["other"]["letter"]) for c in found] == [
        ("A", "B"),
        ("A", "C"),
    ]


def test_a_run_folder_alone_compares_its_modes_and_two_compare_mode_by_mode(
    run_folder, tmp_path
):
    alone = idlescope("compare", run_folder)
    assert "A is synchronous, B asynchronous." in alone.stdout
    assert " ".join(alone.stdout.split()).count("modelled, not measured") == 2
    other = shutil.copytree(run_folder, tmp_path / "other")
    both = json.loads(idlescope("compare", run_folder, other, "--json").stdout)[
        "comparisons"
    ]
    assert [c["mode"] for c in both] == ["sync", "async"]
    assert {c["verdict"]["kind"] for c in both} == {"no difference"}
    one = json.loads(
        idlescope("compare", run_folder, other, "--mode", "async", "--json").stdout
    )["comparisons"]
    assert [c["base"]["paths"] for c in one] == [[str(run_folder / "async.recording")]]


def test_the_folder_holds_markdown_json_and_figures(tmp_path):
    out = tmp_path / "out"
    result = idlescope("compare", SYNC, EAGER, "--out", out)
    assert result.returncode == 0, result.stderr
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == {
        "report.html", "comparison.md", "comparison.json", "figures/comparison.png", "figures/comparison.svg",
    }  # fmt: skip
    assert json.loads((out / "comparison.json").read_text())["schema"] == 1
    assert (out / "figures" / "comparison.svg").read_text().rstrip().endswith("</svg>")
    assert (out / "comparison.md").read_text() == idlescope(
        "compare", SYNC, EAGER, "--markdown"
    ).stdout
    again = idlescope("compare", SYNC, EAGER, "--out", out)
    refused(again, "already holds files", "--force")
    with figures_undrawn():
        forced = idlescope("compare", SYNC, EAGER, "--out", out, "--force")
    assert forced.returncode == 0, forced.stderr


def test_the_trace_is_never_written_over(tmp_path):
    trace = shutil.copy(SYNC, tmp_path / "a.json.gz")
    before = (tmp_path / "a.json.gz").read_bytes()
    refused(
        idlescope("compare", trace, EAGER, "--out", tmp_path, "--force"),
        "the trace is never changed",
    )
    assert (tmp_path / "a.json.gz").read_bytes() == before


def test_markdown_is_a_table_whose_names_format_nothing(tmp_path):
    def trace(name, middle):
        events = []
        for step in range(20):
            at = step * 100_000
            events.append(span(at, at + 100_000, f"ProfilerStep#{step}"))
            events.append(span(at, at + middle, "a|b *@user* <img src=x>"))
            events.append(call(at + middle, at + middle + 1000, step + 1))
            events.append(operation(at + middle + 2000, at + 90_000, correlation=step + 1))
        return write(tmp_path / name, events)

    result = idlescope(
        "compare", trace("a.json", 30_000), trace("b.json", 60_000), "--markdown"
    )
    assert result.returncode == 0, result.stderr
    assert r"a\|b \*&#64;user\* &lt;img src=x&gt;" in result.stdout
    table = [line for line in result.stdout.splitlines() if line.startswith("|")]
    columns = {line.replace(r"\|", "").count("|") for line in table}
    assert columns == {7}
    assert result.stdout.startswith("### idlescope\n")


def test_markdown_escapes():
    assert (
        escaped("[a](b) `c` _d_ # ~e~ $f$ \\ & <b>\n")
        == r"\[a\](b) \`c\` \_d\_ \# \~e\~ \$f\$ \\ &amp; &lt;b&gt;" + "�"
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([SYNC], ("give two recordings or more", "vs")),
        ([SYNC, "vs"], ("a side of vs is empty",)),
        (["vs", SYNC], ("a side of vs is empty",)),
        ([SYNC, "nowhere.json"], ("nowhere.json does not exist",)),
        ([SYNC, EAGER, "--per", "hour"], ("--per hour: give step, token, window",)),
        ([SYNC, EAGER, "--per", "token"], ("does not tell its tokens",)),
        ([SYNC] * 27, ("27 sides are too many",)),
    ],
)
def test_bad_input_is_one_sentence(arguments, parts):
    refused(idlescope("compare", *arguments), *parts)


def test_a_folder_with_two_modes_beside_a_trace_needs_a_mode(run_folder):
    refused(idlescope("compare", run_folder, SYNC), "have no mode in common", "--mode")
    beside = idlescope("compare", run_folder, SYNC, "--mode", "sync")
    assert beside.returncode == 0, beside.stderr
    assert "A is modelled and B is measured" in " ".join(beside.stdout.split())


def test_sides_are_split_at_vs_and_a_file_of_that_name_can_be_given():
    assert [[str(p) for p in side] for side in split(["a", "b"])] == [["a"], ["b"]]
    assert [len(side) for side in split(["a", "b", "vs", "c", "vs", "d"])] == [2, 1, 1]
    assert [str(p) for p in split(["a", "vs", "./vs"])[1]] == ["vs"]
    with pytest.raises(ConfigError):
        by_mode(split(["a"]), None)


def test_shares_of_nothing_are_not_shown(run_folder):
    """Nothing changed: no share of the change, and no division by zero."""
    result = idlescope(
        "compare", run_folder / "sync.recording", run_folder / "sync.recording"
    )
    assert result.returncode == 0, result.stderr
    assert "No difference in time per step" in result.stdout
    assert "nan" not in result.stdout
