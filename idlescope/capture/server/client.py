"""Ask one server, at the address that was named and no other: no proxy, no redirect."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from idlescope.capture.server.address import KEY_VARIABLE, Server, ServerEngine
from idlescope.capture.server.deadline import Deadline, cut_off
from idlescope.errors import ConfigError, ServerError

CONNECT_S = 10.0
READ_S = 5.0  # for an answer that is done without
MESSAGE = 200  # characters of a server's refusal that are repeated
LARGEST = 1 << 24  # bytes of an answer that are read
NOT_FOUND = 404
UNAUTHORISED = (401, 403)

# Where the key of the server is looked for, in this order.
KEY_VARIABLES = (KEY_VARIABLE, "VLLM_API_KEY", "OPENAI_API_KEY")

ENABLE = {
    ServerEngine.VLLM: "start vLLM with --profiler-config "
    """'{"profiler": "torch", "torch_profiler_dir": "DIR"}', older ones """
    "with VLLM_TORCH_PROFILER_DIR=DIR in its environment",
    ServerEngine.SGLANG: "is this SGLang's own address, not a router's?",
}


class NotStartedError(ServerError):
    """The server was not reached, or refused to start its profiler: there is nothing to stop."""

    status: int | None = None  # of the refusal


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    text: str
    reason: str

    @property
    def is_success(self) -> bool:
        """Return whether it did what it was asked to."""
        return 200 <= self.status < 300


class Client:
    """Posts to a server's endpoints and gets its pages; the key is sent only where it is wanted."""

    def __init__(self, server: Server, environment: Mapping[str, str] = os.environ) -> None:
        self.server = server
        self.sends_key = False  # the server asked for it
        self._key = _key_of(environment)

    def post(self, name: str, body: Mapping[str, object] | None = None) -> None:
        """Post to an endpoint below the URL. Raises ServerError, NotStartedError if refused."""
        url = self.server.endpoint(name)
        data, headers = b"", {}
        if body is not None:
            data = json.dumps(body).encode()
            headers = {"Content-Type": "application/json"}
        answer = self._ask("POST", url, data, headers, self.server.timeout)
        if not answer.is_success:
            raise self._refusal(url, answer)

    def get(self, path: str, patience_s: float = READ_S) -> str | None:
        """Return the page at a path of the server; None where there is none, or no answer.

        It is waited for no longer than `patience_s`, and than for any answer of the server.
        Raises NotStartedError where the server cannot be reached.
        """
        address = self.server.address
        url = f"{address.scheme}://{address.netloc}{path}"
        try:
            answer = self._ask("GET", url, b"", {}, min(patience_s, self.server.timeout))
        except NotStartedError:
            raise
        except ServerError:
            return None
        return answer.text if answer.is_success else None

    def _ask(
        self, method: str, url: str, data: bytes, headers: dict[str, str], timeout: float
    ) -> Answer:
        """Return the answer; the key is sent from the first time on that the server wants it."""
        if self.sends_key:
            headers = headers | {"Authorization": f"Bearer {self._key}"}
        answer = self._exchange(method, url, data, headers, timeout)
        if answer.status in UNAUTHORISED and self._key is not None and not self.sends_key:
            self.sends_key = True
            return self._ask(method, url, data, headers, timeout)
        return answer

    def _exchange(
        self, method: str, url: str, data: bytes, headers: dict[str, str], timeout: float
    ) -> Answer:
        with cut_off(timeout) as deadline:
            connection = self._connected(timeout, deadline)
            try:
                connection.request(method, urlsplit(url).path, data, headers)
                with connection.getresponse() as response:
                    text = response.read(LARGEST).decode("utf-8", "replace")
                    answer = Answer(response.status, text, response.reason)
                    if not deadline.is_over:
                        return answer
                raise TimeoutError
            except (OSError, HTTPException, ValueError) as error:
                why = ": the server ended the connection"
                if isinstance(error, TimeoutError) or deadline.is_over:
                    why = f" within {timeout:g} s: give a longer --timeout"
                raise ServerError(f"{url} was not answered{why}") from error
            finally:
                connection.close()

    def _connected(self, timeout: float, deadline: Deadline) -> HTTPConnection:
        address = self.server.address
        connection_class = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connect_s = min(CONNECT_S, timeout)
        connection = connection_class(
            address.hostname or "", address.port, timeout=connect_s
        )
        connection._create_connection = deadline.connect  # type: ignore[attr-defined]
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            why = (
                "no answer"
                if isinstance(error, TimeoutError) or deadline.is_over
                else error.strerror or error
            )
            raise NotStartedError(
                f"{self.server.url} cannot be reached: {why}; is the server running there?"
            ) from error
        connection.sock.settimeout(timeout)
        return connection

    def _refusal(self, url: str, answer: Answer) -> NotStartedError:
        if answer.status == NOT_FOUND:
            enable = ENABLE[ServerEngine(self.server.engine)]
            error = NotStartedError(f"{url} is not there (404): {enable}")
        else:
            message = " ".join(answer.text.split()) or answer.reason
            if len(message) > MESSAGE:
                message = f"{message[: MESSAGE - 1]}…"
            if answer.status in UNAUTHORISED:
                message = f"{message}; set {KEY_VARIABLE} to the server's key"
            error = NotStartedError(
                f"{url} was refused with status {answer.status}: {message}"
            )
        error.status = answer.status
        return error


def _key_of(environment: Mapping[str, str]) -> str | None:
    """Return the key of the server. Raises ConfigError, without it, where no header can hold it."""
    for variable in KEY_VARIABLES:
        key = environment.get(variable, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{variable} holds characters that no HTTP header can hold")
        if key:
            return key
    return None
