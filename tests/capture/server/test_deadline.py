"""A server that answers bit by bit, or never to the end, is given up in time."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from idlescope.capture.server.client import Client
from idlescope.capture.server.recording import Recording
from idlescope.capture.server.traces import is_whole
from idlescope.errors import ServerError
from idlescope.trace import expansion

DRIPS = {
    "100 Continue for ever": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a byte at a time": b"H",
    "a body without an end": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx",
}


@pytest.fixture
def dripping():
    """Return a function that starts a server which sends the same again and again."""
    sockets = []

    def start(drip):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve():
            with suppress(OSError):
                connection, _ = listener.accept()
                sockets.append(connection)
                connection.recv(1000)
                while True:
                    connection.sendall(drip)
                    time.sleep(0.05)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in sockets:
        each.close()


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_an_answer_has_one_deadline(dripping, tmp_path, drip):
    client = Client(Recording(dripping(drip), "vllm", tmp_path, timeout=0.5))
    begin = time.monotonic()
    with pytest.raises(ServerError, match=r"was not answered within 0\.5 s"):
        client.post("start_profile")
    assert time.monotonic() - begin < 5


def test_a_trace_that_unpacks_without_end_is_left_to_its_reader(tmp_path, monkeypatch):
    import gzip

    (tmp_path / "a.json.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    monkeypatch.setattr(expansion, "EXPANSION_CHECKED_FROM", 1 << 20)
    monkeypatch.setattr(expansion, "MOST_EXPANSION", 1)
    assert is_whole(tmp_path / "a.json.gz")
