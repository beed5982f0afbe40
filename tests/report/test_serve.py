"""The servers give a browser on this machine what it came for, and nothing to anyone else."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import closing

import pytest

from idlescope.errors import ConfigError
from idlescope.report import serve

ORIGIN = "https://ui.example"
TRACE = b"\x1f\x8b" + bytes(range(256)) * 5000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a trace.json.gz"
    path.write_bytes(TRACE)
    return path


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "report.html").write_text("<p>a report")
    (folder / "figures" / "a.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("a secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


def ask(port, path, method="GET", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(
            method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_trace_is_served_once_and_to_one_origin(file):
    with serve.once(file, ORIGIN, free_port()) as serving:
        assert (
            serving.url(file.name) == f"http://127.0.0.1:{serving.port}/a%20trace.json.gz"
        )
        path = "/a%20trace.json.gz"
        for method, expected in (("OPTIONS", 204), ("HEAD", 200)):
            status, headers, body = ask(serving.port, path, method, Origin=ORIGIN)
            assert (status, body, headers["Access-Control-Allow-Origin"]) == (
                expected,
                b"",
                ORIGIN,
            )
        assert not serving.wait(0)
        status, headers, body = ask(serving.port, path, Origin=ORIGIN)
        assert (status, body, headers["Access-Control-Allow-Origin"]) == (
            200,
            TRACE,
            ORIGIN,
        )
        assert serving.wait(5)
    with pytest.raises(ConnectionRefusedError):
        ask(serving.port, path, Origin=ORIGIN)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/a%20trace.json.gz", {}, 403),  # as an image of another site is fetched
        ("/a%20trace.json.gz", {"Origin": "https://evil.example"}, 403),
        ("/a%20trace.json.gz", {"Origin": "null"}, 403),
        ("/a%20trace.json.gz", {"Origin": ORIGIN, "Host": "evil.example:9001"}, 403),
        ("/", {"Origin": ORIGIN}, 404),
        ("/other.json.gz", {"Origin": ORIGIN}, 404),
        ("/../secret", {"Origin": ORIGIN}, 404),
    ],
)
def test_what_else_is_asked_is_refused_and_does_not_end_it(file, path, headers, status):
    with serve.once(file, ORIGIN, free_port()) as serving:
        for method in ("GET", "HEAD", "OPTIONS"):
            got, answered, body = ask(serving.port, path, method, **headers)
            assert got == status
            assert "Access-Control-Allow-Origin" not in answered
            assert TRACE[:20] not in body
        assert ask(serving.port, path, "POST", Origin=ORIGIN)[0] in (404, 501)
        assert not serving.wait(0)


def test_a_browser_that_hangs_up_or_asks_nothing_does_not_end_it(file):
    with serve.once(file, ORIGIN, free_port()) as serving:
        with closing(
            socket.create_connection(("127.0.0.1", serving.port))
        ):  # as browsers connect ahead
            status, _, body = ask(serving.port, "/a%20trace.json.gz", "HEAD", Origin=ORIGIN)
            assert (status, body) == (200, b"")
        assert not serving.wait(0)
        assert ask(serving.port, "/a%20trace.json.gz", Origin=ORIGIN)[2] == TRACE


def test_a_port_that_is_taken_is_one_sentence(file):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=rf"^port {port} of 127.0.0.1 .* in use$"),
            serve.once(file, ORIGIN, port),
        ):
            pass


def test_a_report_is_served_without_what_lies_around_it(report):
    with serve.files(report) as serving:
        assert ask(serving.port, "/report.html")[2] == b"<p>a report"
        assert ask(serving.port, "/figures/a.svg")[2] == b"<svg/>"
        for path in (
            "/",
            "/figures",
            "/figures/",
            "/../secret",
            "/%2e%2e/secret",
            "/link",
            "/none",
            "//etc/passwd",
        ):
            status, _, body = ask(serving.port, path)
            assert (path, status, b"secret" in body, b"a.svg" in body) == (
                path,
                404,
                False,
                False,
            )
        assert ask(serving.port, "/report.html", Host="evil.example")[0] == 403
        assert ask(serving.port, "/report.html", Host=f"localhost:{serving.port}")[0] == 200
        assert ask(serving.port, "/report.html", "POST")[0] == 501


def test_waiting_ends_as_soon_as_the_file_was_fetched(file):
    with serve.once(file, ORIGIN, free_port()) as serving:
        threading.Timer(
            0.2, ask, (serving.port, "/a%20trace.json.gz"), {"Origin": ORIGIN}
        ).start()
        began = time.monotonic()
        assert serving.wait(20)
        assert time.monotonic() - began < 10


def test_no_browser_is_looked_for_where_nothing_can_show_its_window(monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail(f"{url} was opened"))
    assert not serve.open_browser("http://127.0.0.1/")


def test_more_connections_than_threads_are_closed_at_once(file, monkeypatch):
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 3)
    with serve.once(file, "https://ui.perfetto.dev", 0) as serving:
        held = [socket.create_connection(("127.0.0.1", serving.port)) for _ in range(12)]
        try:
            for connection in held:
                connection.settimeout(5)
            closed = sum(is_closed(connection) for connection in held[3:])
            assert closed == 9
            assert threading.active_count() < 12
        finally:
            for connection in held:
                connection.close()


def is_closed(connection):
    """Return whether the other side has ended a connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
