"""A real Prometheus scrapes a running watch, and the alert fires."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from idlescope.watching.monitoring import text_of
from tests.make.watched_loop_process import idling_loop

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus: Debian's package prometheus"
)
CONFIGURATION = """
global: {{scrape_interval: 400ms, scrape_timeout: 400ms, evaluation_interval: 400ms}}
rule_files: [idlescope.rules.yml]
scrape_configs:
  - job_name: idlescope
    static_configs: [{{targets: ['{target}']}}]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def prometheus(folder):
    """Run a server on what is in a folder; yield where it answers."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address={address}", "--log.level=error",
    ]  # fmt: skip
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.kill()
        process.wait()
        log.close()


def ask(url, **query):
    try:
        with urlopen(f"{url}?{urlencode(query)}", timeout=2) as answer:  # noqa: S310 - our own
            return json.load(answer)["data"]
    except (URLError, ConnectionError):
        return {}  # it is starting


def until(told, seconds=40.0):
    """Return what is told as soon as it is anything: after some 8 s on a machine at rest."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := told():
            return answer
        time.sleep(0.1)
    return told()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    # The rules of the package, over seconds instead of minutes; counters grow every three seconds.
    rules = text_of("idlescope.rules.yml").replace("[5m]", "[8s]")
    for lasting in ("for: 5m", "for: 15m"):
        rules = rules.replace(lasting, "for: 400ms")
    (folder / "idlescope.rules.yml").write_text(rules, encoding="utf-8")
    with idling_loop(folder / "watches") as url:
        target = urlsplit(url).netloc
        configuration = CONFIGURATION.format(target=target)
        (folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
        with prometheus(folder) as address:
            yield address


def firing(api, name):
    return [
        alert
        for alert in ask(f"{api}/alerts").get("alerts", ())
        if alert["labels"]["alertname"] == name and alert["state"] == "firing"
    ]


def numbers(api, asked):
    """The numbers that answer a question; what is not known yet is none."""
    found = ask(f"{api}/query", query=asked).get("result", ())
    return [sample["value"][1] for sample in found if sample["value"][1] != "NaN"]


def test_the_alert_of_a_device_that_idles_fires(api):
    (alert,) = until(lambda: firing(api, "IdlescopeDeviceIdle"))
    assert float(alert["value"]) > 0.5  # two thirds, if nothing else is in the way
    assert alert["labels"]["device"] == "0"
    assert alert["annotations"]["description"].startswith(
        "Why: `idlescope watch http://127."
    )


def test_the_scrape_is_whole(api):
    (up,) = until(lambda: ask(f"{api}/query", query="up == 1").get("result"))
    assert up["metric"]["job"] == "idlescope"
    asked = 'sum by (state) (idlescope_device_seconds_total{cause=~"|host"})'
    seconds = until(lambda: ask(f"{api}/query", query=asked).get("result"))
    assert {sample["metric"]["state"] for sample in seconds} == {"busy", "idle"}


def test_a_loop_that_waits_for_each_step_is_told_to_be_synchronous(api):
    assert until(lambda: firing(api, "IdlescopeSynchronous"))
    assert not firing(api, "IdlescopeWatchOff")


def test_every_panel_of_the_dashboard_has_something_to_show(api):
    panels = json.loads(text_of("idlescope.dashboard.json"))["panels"]
    for panel in panels:
        for target in panel["targets"]:
            asked = (
                target["expr"].replace("$__rate_interval", "8s").replace("$instance", ".*")
            )
            assert until(lambda asked=asked: numbers(api, asked)), (panel["title"], asked)
