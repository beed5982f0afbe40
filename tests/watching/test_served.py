"""What a watch serves: metrics, its state and recordings, on this machine, in any storm."""

from __future__ import annotations

import builtins
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec import structs

import idlescope
from idlescope.watching.shown import SHARED_NOTE, sharing
from idlescope.watching.state import IDLE_CAUSES, WatchState
from idlescope.watching.view.places import Members
from tests.make.watched_loops import MS, PretendedDevice, drive

STEP_COUNT = "idlescope_step_seconds_count"


@pytest.fixture
def watched():
    device = PretendedDevice(length_ns=MS)
    watch = idlescope.watch(way=device, engine="an engine", version="1.2", rank=5)
    drive(watch, device, 10)
    watch.settle()
    return watch


def ask(watch, path, method="GET", **headers):
    """Return the status, the content type and the body of an answer."""
    address = urlsplit(watch._runtime.url)
    connection = HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


def values(body: bytes) -> dict[tuple[str, frozenset], float]:
    """Return the samples of a scrape, by name and labels."""
    parser = pytest.importorskip("prometheus_client.parser")
    families = parser.text_string_to_metric_families(body.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def has_ipv6():
    with suppress(OSError), socket.socket(socket.AF_INET6) as tried:
        tried.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_served_and_named_in_brackets(monkeypatch):
    monkeypatch.setenv("IDLESCOPE_WATCH_HOST", "::1")
    watch = idlescope.watch(way="host")
    assert urlsplit(watch.url).netloc.startswith("[::1]:")
    assert ask(watch, "/state")[0] == 200
    assert ask(watch, "/state", Host="example.com")[0] == 403
    assert Members([watch.url]).members[0].process.url == watch.url


def test_metrics_are_the_account_in_seconds(watched):
    status, kind, body = ask(watched, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    state = watched.seen().state
    scraped = values(body)
    device = {("device", "0")}
    seconds = "idlescope_device_seconds_total"
    busy = frozenset({*device, ("state", "busy"), ("cause", "")})
    assert scraped[seconds, busy] == state.busy_ns / 1e9
    for cause in IDLE_CAUSES:
        labels = frozenset({*device, ("state", "idle"), ("cause", cause)})
        assert scraped[seconds, labels] == state.idle_ns[cause] / 1e9
    assert scraped["idlescope_idle_per_step_seconds_count", frozenset(device)] == 10
    assert scraped["idlescope_step_seconds_count", frozenset(device)] == 10
    assert scraped["idlescope_tokens_total", frozenset(device)] == 40
    assert scraped["idlescope_requests_running", frozenset(device)] == 4
    assert scraped["idlescope_launch_latency_seconds_count", frozenset(device)] == 9
    info = {"engine": "an engine", "version": "1.2", "rank": "5", "way": "pretended"}
    ((labels, value),) = [
        (dict(labels), value)
        for (name, labels), value in scraped.items()
        if name == "idlescope_watch_info"
    ]
    assert labels.items() >= info.items()
    assert value == 1


def test_two_watches_of_one_device_are_told_apart():
    first, second = idlescope.watch(way="host"), idlescope.watch(way="host")
    with second.step():
        pass
    second.settle()
    scraped = values(ask(first, "/metrics")[2])
    counts = {
        labels: value for (name, labels), value in scraped.items() if name == STEP_COUNT
    }
    assert counts == {
        frozenset({("device", "")}): 0,
        frozenset({("device", "#2")}): 1,
    }


def test_loops_that_share_a_device_say_so():
    """What is idle for one of two models of a process, the other may fill."""
    one = device_state_of(idlescope.watch(way="host"))
    first, second, other = (
        structs.replace(one, device=index, notes=["a note"]) for index in (0, 0, 1)
    )
    shared, also, alone = sharing([first, second, other])
    assert shared.notes == also.notes == ["a note", SHARED_NOTE]
    assert alone == other
    assert sharing([one, one]) == [one, one]  # no device is timed


def device_state_of(watch):
    (state,) = watch.state().devices
    return state


def test_a_watch_that_turned_itself_off_says_so(watched):
    watched.turn_off("a test")
    state = msgspec.json.decode(ask(watched, "/state")[2], type=WatchState)
    assert state.devices[0].off == "a test"
    info = [
        v for (name, _), v in values(ask(watched, "/metrics")[2]).items() if "info" in name
    ]
    assert info == [0]


def test_the_state_is_what_its_schema_says(watched):
    status, kind, body = ask(watched, "/state")
    assert (status, kind) == (200, "application/json")
    state = msgspec.json.decode(body, type=WatchState, strict=True)
    (device,) = state.devices
    assert device.watched_ns == device.busy_ns + sum(device.idle_ns.values())
    assert sum(second.steps for second in device.seconds) == 10
    assert sum(second.tokens for second in device.seconds) == 40
    assert sum(second.busy_ns for second in device.seconds) == device.busy_ns
    assert state.process.url == watched._runtime.url


def test_a_recording_is_made_when_it_is_posted_for(watched):
    status, _, body = ask(watched, "/record", "POST")
    (folder,) = msgspec.json.decode(body)["recordings"]
    assert status == 200
    assert len(idlescope.open(folder).operations) == 10


def test_a_page_of_a_browser_records_nothing(watched):
    assert ask(watched, "/record", "POST", Origin="https://example.com")[0] == 403
    assert ask(watched, "/record")[0] == 404
    assert not watched.state().recordings


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/record/x"])
def test_there_is_nothing_else(watched, path):
    assert ask(watched, path)[0] == 404


def test_only_this_machine_is_answered(watched):
    assert ask(watched, "/state", Host="evil.example:80")[0] == 403


def test_a_port_that_is_taken_leaves_the_next_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        watch = idlescope.watch(way="host", port=port)
        assert watch._runtime._server.server_port > port
        assert ask(watch, "/state")[0] == 200


def test_without_a_port_the_loop_goes_on(monkeypatch, caplog):
    monkeypatch.setenv("IDLESCOPE_WATCH_HOST", "203.0.113.7")  # no address of this machine
    watch = idlescope.watch(way="host")
    with watch.step():
        pass
    state = watch.state()
    assert state.process.url == ""
    assert state.devices[0].steps == {"not told": 1}
    assert "not served" in caplog.text


def test_without_the_extra_metrics_say_how_to_get_them(watched, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, body = ask(watched, "/metrics")
    assert status == 501
    assert b"idlescope[watch]" in body
    assert ask(watched, "/state")[0] == 200


def test_a_storm_of_scrapes_does_not_stop_the_loop(watched):
    stop = threading.Event()
    answered = []

    def scrape() -> None:
        while not stop.is_set():
            with suppress(OSError):  # closed at once: there are too many
                answered.append(ask(watched, "/metrics")[0])

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    device = watched.way
    end = time.monotonic() + 1
    steps = 0
    while time.monotonic() < end:
        drive(watched, device, 1)
        steps += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert steps > 20
    assert 1 <= len(answered) <= 40 + 20 * 10
    assert set(answered) == {200}
    assert not watched.off


def test_a_server_that_is_gone_is_no_matter(watched):
    watched._runtime._server.shutdown()
    watched._runtime._server.server_close()
    drive(watched, watched.way, 3)
    assert watched.state().devices[0].steps == {"not told": 13}
