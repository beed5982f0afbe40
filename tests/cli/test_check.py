"""`idlescope check`: exit codes, sentences, JUnit, annotations."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from msgspec import structs

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison.checks import Check, covered_pct
from idlescope.analysis.comparison.limits import Limits
from idlescope.errors import ConfigError
from idlescope.report.tables.checks import github_commands
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files as stored
from tests.conftest import FIXTURES
from tests.make.commands import idlescope as command
from tests.make.commands import refused
from tests.make.kineto_files import call, operation, span, write
from tests.make.noisy_recordings import recording
from tests.make.undrawn import figures_undrawn

SYNC, ITEM, EAGER = (
    FIXTURES / f"loop_{name}.json.gz" for name in ("sync", "item", "eager")
)


def idlescope(*arguments):
    return command("check", *arguments)


def said(result):
    """The lines that are printed, without rules and the spaces between columns."""
    lines = (" ".join(line.split()) for line in result.stdout.splitlines())
    return [line for line in lines if line.strip("─ ")]


def test_a_share_below_one_is_asked_for_its_unit():
    refused(idlescope(SYNC, "--max-idle", "0.05"), "0.05 what? write 0.05% or 5%")


@pytest.fixture(autouse=True)
def outside_of_github(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


@pytest.fixture
def unlaunched(tmp_path):
    """A trace without any launch: no verdict can be given on it."""
    return write(tmp_path / "unlaunched.json", [operation(0, 1000), operation(1010, 2000)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of `idlescope run`."""
    path = tmp_path_factory.mktemp("run") / "run"
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
        assert command("run", *options, "--out", path).returncode == 0
    return path


class TestExitCodes:
    def test_limits_that_hold_are_0(self):
        result = idlescope(
            SYNC,
            "--max-idle",
            "30%",
            "--max-idle-ms-per-step",
            "2",
            "--min-coverage",
            "95 %",
        )
        assert result.returncode == 0, result.stderr
        assert said(result) == [
            "All 3 limits hold (device 0 NVIDIA H100 80GB HBM3).",
            "limit found allowed",
            "holds --max-idle 28.5 % 30 %",
            "holds --max-idle-ms-per-step 1.64 ms 2 ms",
            "holds --min-coverage 100 % 95 %",
            f"next: idlescope analyze {SYNC} says why the device is idle",
        ]

    @pytest.mark.parametrize(
        ("limit", "value", "says"),
        [
            ("--max-idle", "5%", "idle is 28.4615 %, more than the 5 % allowed"),
            (
                "--max-idle-ms-per-step",
                "0.3",
                "idle per step is 1.64353 ms, more than the 0.3 ms allowed",
            ),
        ],
    )
    def test_one_that_does_not_is_1_with_the_reason(self, limit, value, says):
        result = idlescope(SYNC, limit, value)
        assert (result.returncode, result.stderr) == (1, "")
        assert said(result)[0] == "The limit is broken (device 0 NVIDIA H100 80GB HBM3)."
        assert f"device 0 NVIDIA H100 80GB HBM3: {says}" in result.stdout.splitlines()

    @pytest.mark.parametrize(
        "limit", ["--max-idle", "--min-coverage", "--max-idle-ms-per-step"]
    )
    def test_what_cannot_be_told_never_passes(self, unlaunched, limit):
        result = idlescope(unlaunched, limit, "100" if limit != "--min-coverage" else "0")
        assert result.returncode == 1
        assert f"broken {limit} " in " ".join(said(result))
        assert "operations have a known launch" in result.stdout

    def test_a_regression_that_cannot_be_told_never_passes(self, unlaunched):
        result = idlescope(SYNC, "--max-regression", "500", "--against", unlaunched)
        assert result.returncode == 1
        assert "a regression cannot be told, the base cannot be trusted" in result.stdout

    def test_a_trace_without_a_device_is_2(self, tmp_path):
        spans = [
            span(0, 1000, "cb:schedule_batch"),
            span(1000, 2000, "cb:prepare_batch_tensors"),
        ]
        host = write(tmp_path / "host.json", [call(0, 1000, 1), *spans])
        refused(idlescope(host, "--max-idle", "5%"), "holds no device operations")
        refused(
            idlescope(SYNC, "--max-regression", "5%", "--against", host),
            "holds no device operations",
        )
        refused(command("compare", SYNC, host), "holds no device operations")
        (tmp_path / "analysis.json").write_text(command("analyze", host, "--json").stdout)
        refused(command("compare", SYNC, tmp_path / "analysis.json"), "holds no device")

    @pytest.mark.parametrize(
        ("arguments", "parts"),
        [
            ([SYNC], ("nothing to check", "--max-idle")),
            ([SYNC, "--max-idle", "much"], ("--max-idle much: give per cent, as in 5%",)),
            ([SYNC, "--max-idle", "-1"], ("give per cent",)),
            ([SYNC, "--max-idle-ms-per-step", "3%"], ("give a number of milliseconds",)),
            (
                [SYNC, "--max-regression", "2%"],
                ("--max-regression and --against together",),
            ),
            (
                [SYNC, "--against", SYNC, "--max-idle", "3"],
                ("--max-regression and --against together",),
            ),
            (["nowhere.json", "--max-idle", "3"], ("nowhere.json does not exist",)),
            (
                [SYNC, "--max-idle", "3", "--window", "steps:900-901"],
                ("--window steps:900-901",),
            ),
        ],
    )
    def test_bad_input_is_2(self, arguments, parts):
        refused(idlescope(*arguments), *parts)


class TestRegression:
    @pytest.fixture
    def paths(self, tmp_path):
        for name, seed, factors in (
            ("base", 1, {}),
            ("same", 2, {}),
            ("worse", 3, {"prepare": 2}),
        ):
            stored.write(recording(seed, 400, factors=factors), tmp_path / name)
        return tmp_path

    def test_a_longer_step_breaks_it(self, paths):
        result = idlescope(
            paths / "worse", "--max-regression", "2%", "--against", paths / "base"
        )
        assert result.returncode == 1
        assert (
            "% longer per step than its base, 2 % were allowed; noise is" in result.stdout
        )

    def test_a_shorter_one_does_not(self, paths):
        result = idlescope(
            paths / "base", "--max-regression", "2%", "--against", paths / "worse"
        )
        assert result.returncode == 0
        (row,) = (line for line in said(result) if line.startswith("holds "))
        assert re.fullmatch(r"holds --max-regression -\d+\.\d\d % 2 %", row)

    def test_noise_is_no_regression_but_is_said(self, paths):
        """At a limit below what noise allows to tell, the trace passes in doubt, with a warning."""
        options = ("--max-regression", "0.1%", "--against", paths / "base", "--github")
        result = idlescope(paths / "same", *options)
        assert result.returncode == 0
        assert said(result)[0].startswith("The limit holds, but in doubt")
        assert any(line.startswith("in doubt --max-regression ") for line in said(result))
        assert "::warning title=idlescope --max-regression::" in result.stdout

    def test_modelled_beside_measured_is_said(self, paths, folder):
        result = idlescope(
            paths / "base", "--max-regression", "2%", "--against", folder / "sync.recording"
        )
        assert "one of them is modelled and the other measured" in result.stdout

    def test_several_bases_tell_how_runs_differ(self, paths):
        bases = [
            word
            for name in ("base", "same", "base")
            for word in ("--against", paths / name)
        ]
        result = idlescope(paths / "worse", "--max-regression", "2%", *bases)
        assert result.returncode == 1


class TestRunFolder:
    def test_every_mode_is_checked_unless_one_is_chosen(self, folder):
        both = idlescope(folder, "--max-idle", "5%")
        assert both.returncode == 1
        rows = [line for line in said(both) if "--max-idle" in line]
        assert [(row.split()[0], row.split("% 5 % ")[1].split(",")[0]) for row in rows] == [
            ("broken", "sync"),
            ("holds", "async"),
        ]
        assert idlescope(folder, "--max-idle", "5%", "--mode", "async").returncode == 0

    def test_each_mode_is_compared_with_its_own(self, folder):
        result = idlescope(folder, "--max-regression", "0%", "--against", folder)
        assert result.returncode == 0, result.stdout
        rows = [line for line in said(result) if "--max-regression" in line]
        assert [row.split("+0.00 %")[0] for row in rows] == ["holds --max-regression "] * 2


class TestReports:
    def test_junit_has_a_case_a_check_and_is_replaced_only_where_it_is_ours(self, tmp_path):
        path = tmp_path / "reports" / "idle.xml"
        limits = ("--max-idle", "5%", "--min-coverage", "95%", "--junit", path)
        for _ in range(2):
            assert idlescope(SYNC, *limits).returncode == 1
        root = ElementTree.fromstring(path.read_text())  # noqa: S314 - our own
        assert (root.tag, root.get("tests"), root.get("failures")) == (
            "testsuites",
            "2",
            "1",
        )
        cases = root.findall("./testsuite/testcase")
        assert [case.get("name").split()[0] for case in cases] == [
            "max_idle",
            "min_coverage",
        ]
        assert cases[0].find("failure").get("message").endswith("more than the 5 % allowed")
        assert cases[1].find("failure") is None
        path.write_text("<notes/>")
        refused(idlescope(SYNC, *limits), "no earlier --junit of idlescope")
        assert path.read_text() == "<notes/>"

    def test_junit_never_replaces_the_trace(self, tmp_path):
        trace = tmp_path / "a.json.gz"
        trace.write_bytes(SYNC.read_bytes())
        refused(idlescope(trace, "--max-idle", "50", "--junit", trace), "is there already")
        assert trace.read_bytes() == SYNC.read_bytes()

    def test_annotations_come_by_themselves_in_github_actions(self, monkeypatch):
        line = "::error title=idlescope --max-idle::device 0 NVIDIA H100 80GB HBM3: idle is 28.4615 %25, more than the "
        plain = idlescope(SYNC, "--max-idle", "5%")
        assert "::error" not in plain.stdout
        assert line in idlescope(SYNC, "--max-idle", "5%", "--github").stdout
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        assert line in idlescope(SYNC, "--max-idle", "5%").stdout
        assert "::error" not in idlescope(SYNC, "--max-idle", "5%", "--no-github").stdout
        as_json = idlescope(SYNC, "--max-idle", "5%", "--json")
        assert line in as_json.stderr
        assert json.loads(as_json.stdout)["holds"] is False

    def test_annotations_are_escaped(self):
        says = "50 % of a,b: c\n::error::forged"
        (line,) = github_commands([Check("max_idle", "x", holds=False, says=says)])
        assert line.count("\n") == 0
        assert (
            line
            == "::error title=idlescope --max-idle::50 %25 of a,b: c\N{REPLACEMENT CHARACTER}::error::forged"
        )
        assert github_commands([Check("max_idle", "x", holds=True, says="fine")]) == []

    def test_nothing_is_annotated_where_all_holds(self):
        assert "::" not in idlescope(SYNC, "--max-idle", "50", "--github").stdout

    def test_json_holds_every_check(self):
        result = idlescope(SYNC, "--max-idle", "30", "--min-coverage", "95", "--json")
        document = json.loads(result.stdout)
        assert (document["schema"], document["holds"]) == (1, True)
        assert [c["limit"] for c in document["checks"]] == ["max_idle", "min_coverage"]


class TestLimits:
    def test_numbers_and_texts_are_the_same(self):
        assert (
            Limits.of(max_idle=5)
            == Limits.of(max_idle="5%")
            == Limits.of(max_idle=" 5.0 %")
            == Limits(max_idle=5.0)
        )
        assert not Limits.of(max_idle=None).given()
        assert Limits.of(max_regression=1e-5).max_regression == 1e-5

    def test_what_is_no_limit_is_refused(self):
        with pytest.raises(ConfigError, match="max_busy is no limit"):
            Limits.of(max_busy=3)

    def test_coverage_is_the_smallest_of_its_shares(self):
        result = analyze(open_trace(EAGER)).results[0]
        assert covered_pct(result.coverage, len(result.operations)) == 100
        lost = structs.replace(result.coverage, launches=100, launches_lost=7)
        assert covered_pct(lost, len(result.operations)) == 93
        graphs = structs.replace(
            lost, graph_launches=10, graph_launches_without_operations=2
        )
        assert covered_pct(graphs, len(result.operations)) == 80


def add(path, name, commit, *options):
    return idlescope(
        FIXTURES / f"loop_{name}.json.gz", "--history", path, "--commit", commit, *options
    )


@pytest.fixture(scope="module")
def worse(tmp_path_factory):
    """A history of six commits, three good ones and three bad ones; the last result."""
    folder = tmp_path_factory.mktemp("history")
    for number in range(5):
        name = "async" if number < 3 else "sync"
        assert add(folder / "idle.jsonl", name, f"c{number}").returncode == 0
    options = ("--max-creep", "10%", "--out", folder / "trend", "--no-github")
    return folder, add(folder / "idle.jsonl", "sync", "c5", *options)


def test_a_history_that_got_worse_breaks_its_limit(worse):
    folder, result = worse
    assert result.returncode == 1, result.stderr
    assert (
        "idle per step rose from 0.0877 to 1.64 ms, 1.56 of that at commit c3."
        in result.stdout
    )
    assert "▁▁▁███" in result.stdout
    assert len((folder / "idle.jsonl").read_text().splitlines()) == 6


def test_the_trend_is_written_as_markdown_and_figures(worse):
    folder, _ = worse
    written = {
        path.relative_to(folder / "trend").as_posix()
        for path in (folder / "trend").rglob("*.*")
    }
    assert written == {"trend.md", "check.json", "figures/trend.svg", "figures/trend.png"}
    markdown = (folder / "trend" / "trend.md").read_text()
    assert "| c5 | 1.64 ms | 5.77 ms |" in markdown
    assert "```mermaid\nxychart-beta" in markdown


def test_an_earlier_trend_is_replaced_only_when_forced(worse, tmp_path):
    folder, _ = worse
    before = (folder / "idle.jsonl").read_bytes()
    options = ("--out", folder / "trend")
    refused(add(folder / "idle.jsonl", "sync", "c6", *options), "already holds files")
    assert (folder / "idle.jsonl").read_bytes() == before


def test_trends_are_in_the_document(worse, tmp_path):
    folder, _ = worse
    shown = json.loads((folder / "trend" / "check.json").read_text())
    assert [trend["kind"] for trend in shown["trends"]] == ["jump", "jump"]
    assert not shown["holds"]


def test_a_damaged_line_is_said_and_costs_nothing(tmp_path):
    path = tmp_path / "idle.jsonl"
    add(path, "async", "c1")
    with path.open("a") as file:
        file.write('{"schema": 1, "comm')
    result = add(path, "async", "c2")
    assert "1 line is damaged and left out, the first is line 2" in result.stdout
    assert "of 2 commits makes no trend" in result.stdout


def test_what_needs_a_history_asks_for_one():
    refused(idlescope(SYNC, "--max-creep", "10%"), "give --history")
    refused(idlescope(SYNC, "--max-idle", "5%", "--commit", "abc"), "give --history")


def test_a_trace_is_no_history(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text('{"traceEvents": []}')
    refused(add(path, "async", "c1"), "holds no history of idlescope")
    assert path.read_text() == '{"traceEvents": []}'
