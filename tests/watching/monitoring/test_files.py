"""Alert rules and the dashboard ask for what a watch exports, and for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from idlescope.errors import ConfigError, OutputExistsError
from idlescope.watching import monitoring
from idlescope.watching.families import Seen
from idlescope.watching.monitoring import FILES, text_of
from idlescope.watching.prometheus import exposition
from idlescope.watching.totals import Totals
from tests.make.watched_states import MS, device, process

RULES, _, DASHBOARD = FILES
OF_PROMETHEUS = {"instance", "job", "le"}  # labels that it, or a histogram, adds
NAME = re.compile(r"\bidlescope_[a-z_]+")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPING = re.compile(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)")
SHOWN = re.compile(r"\$labels\.(\w+)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: Debian's package prometheus"
)


@pytest.fixture(scope="module")
def exported():
    """All samples that a watch can export, with their labels."""
    parser = pytest.importorskip("prometheus_client.parser")
    watched = device(
        9, 9, idle_ms={"host": 1}, host_ms={"schedule": 1}, communication_ns=MS
    )
    text, _ = exposition(process(), [Seen(watched, Totals(), "0")])
    return {
        sample.name: set(sample.labels)
        for family in parser.text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def asked():
    """All text in which metrics and labels are asked for."""
    return [text_of(RULES), *expressions(json.loads(text_of(DASHBOARD)))]


def test_every_metric_that_is_asked_for_is_exported(exported):
    names = {name for text in asked() for name in NAME.findall(text)}
    assert names <= set(exported)


def test_every_metric_that_is_exported_is_alerted_on_or_shown(exported):
    names = {name for text in asked() for name in NAME.findall(text)}
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in exported} == families


def test_labels_are_those_that_are_exported(exported):
    known = OF_PROMETHEUS.union(*exported.values())
    dashboard = json.loads(text_of(DASHBOARD))
    texts = [
        *asked(),
        *(t["legendFormat"] for p in dashboard["panels"] for t in p["targets"]),
    ]
    used = {
        label.strip()
        for text in texts
        for pattern in (MATCHER, GROUPING, SHOWN, LEGEND)
        for found in pattern.findall(text)
        for label in found.split(",")
    }
    assert used <= known


def test_panels_stand_side_by_side_and_none_on_another():
    places = set()
    panels = json.loads(text_of(DASHBOARD))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        covered = {
            (column, row)
            for column in range(grid["x"], grid["x"] + grid["w"])
            for row in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not covered & places
        places |= covered


@needs_promtool
def test_promtool_takes_rules_and_configuration(tmp_path):
    written = monitoring.write(tmp_path, force=False)
    said = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "10 rules found" in said.stdout
    assert [path.name for path in written] == list(FILES)


@needs_promtool
def test_promtool_takes_what_the_dashboard_asks(tmp_path):
    lines = ["groups: [{name: dashboard, rules: ["]
    for number, expression in enumerate(expressions(json.loads(text_of(DASHBOARD)))):
        asks = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        lines.append(f"{{record: 'panel{number}', expr: {json.dumps(asks)}}},")
    rules = tmp_path / "dashboard.yml"
    rules.write_text("\n".join([*lines, "]}]"]), encoding="utf-8")
    said = subprocess.run(
        ["promtool", "check", "rules", rules], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert f"{len(lines) - 1} rules found" in said.stdout


@needs_promtool
def test_alerts_fire_for_engines_that_idle_and_for_no_others(tmp_path):
    monitoring.write(tmp_path, force=False)
    cases = Path(__file__).with_name("idlescope.rules.test.yml")
    shutil.copy(cases, tmp_path)
    said = subprocess.run(
        ["promtool", "test", "rules", cases.name],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_is_tried():
    tried = Path(__file__).with_name("idlescope.rules.test.yml").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", text_of(RULES))
    assert len(alerts) == 7
    assert all(f"alertname: {alert}" in tried for alert in alerts)


def test_nothing_is_overwritten_unless_asked(tmp_path):
    own = tmp_path / RULES
    own.write_text("mine")
    with pytest.raises(OutputExistsError, match="is there already"):
        monitoring.write(tmp_path, force=False)
    assert [path.name for path in tmp_path.iterdir()] == [RULES]
    assert own.read_text() == "mine"
    monitoring.write(tmp_path, force=True)
    assert own.read_text() == text_of(RULES)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        monitoring.write(tmp_path / "file" / "folder", force=False)
