"""A server that behaves as vLLM's and SGLang's documentation and sources say, and its faults."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.conftest import FIXTURES

TRACE = FIXTURES / "transformers_sync.json.gz"


class FakeServer(ThreadingHTTPServer):
    """Writes its traces when it is told to stop, as both servers do.

    `faults` maps an endpoint to what it does; `pages` a path to the text of a page, or a function
    that returns it; `key` is the one that it wants; `traces` are files that it writes instead of
    a real one for each rank, by name. What was posted and with which headers is kept.
    """

    daemon_threads = True

    def __init__(
        self,
        folder,
        ranks=1,
        faults=None,
        pages=None,
        key=None,
        front_end=False,
        traces=None,
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranks, self.front_end, self.key = folder, ranks, front_end, key
        self.faults, self.pages, self.asked, self.got = faults or {}, pages or {}, [], []
        self.keys, self.traces = [], traces
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that went away

    def write(self):
        for name, content in (self.traces or {}).items():
            (self.folder / name).write_bytes(content)
        if self.traces is not None:
            return
        for rank in range(self.ranks):
            shutil.copy(TRACE, self.folder / f"new-rank{rank}.pt.trace.json.gz")
        if self.front_end:
            shutil.copy(TRACE, self.folder / "host_1.async_llm.2.pt.trace.json.gz")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        fake, name = self.server, self.path.rsplit("/", 1)[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.allowed():
            return
        fake.asked.append((name, json.loads(body) if body else None))
        fault = fake.faults.get(name)
        if callable(fault):
            fault = fault(fake)
        elif fault is None and name == "stop_profile":
            fake.write()
        if fault == "dies":
            self.close_connection = True
        elif isinstance(fault, tuple):
            self.answer(*fault)
        else:
            self.answer(200)

    def do_GET(self):
        fake = self.server
        fake.got.append(self.path)
        page = fake.pages.get(self.path)
        if not self.allowed():
            return
        if page is None:
            self.answer(404, b"{}")
        else:
            self.answer(200, (page() if callable(page) else page).encode())

    def allowed(self):
        fake, given = self.server, self.headers.get("Authorization")
        fake.keys.append(given)
        if fake.key is not None and given != f"Bearer {fake.key}":
            self.answer(401, b'{"error": "Unauthorized"}')
            return False
        return True

    def answer(self, status, text=b"", headers=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextmanager
def serving(fake):
    """Run a server meanwhile."""
    thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        fake.shutdown()
        fake.server_close()
        thread.join()


class Counting:
    """Pages of a server whose steps take so many milliseconds, each with so many requests."""

    def __init__(self, step_ms=5.0, running=4):
        self.step_ms, self.running, self.start = step_ms, running, time.monotonic()

    def steps(self):
        return (
            int((time.monotonic() - self.start) * 1e3 / self.step_ms) if self.running else 0
        )

    def vllm(self):
        steps, labels = self.steps(), '{engine="0",model_name="m{}"}'
        return (
            "# HELP vllm:iteration_tokens_total tokens per step\n"
            f'vllm:iteration_tokens_total_bucket{{engine="0",le="1.0"}} 0.0\n'
            f"vllm:iteration_tokens_total_count{labels} {steps}.0\n"
            f"vllm:generation_tokens_total{labels} {steps * self.running}.0\n"
            f"vllm:num_requests_running{labels} {self.running}.0\n"
            f"vllm:inter_token_latency_seconds_sum{labels} {steps * self.running * 0.009}\n"
            f"vllm:inter_token_latency_seconds_count{labels} {steps * self.running}.0\n"
            "python_gc_objects_collected_total 3.0\n"
        )

    def sglang(self):
        tokens, labels = self.steps() * self.running, '{model_name="m",tp_rank="0"}'
        seconds = tokens * self.step_ms / 1e3
        return (
            f"sglang:inter_token_latency_seconds_sum{labels} {seconds}\n"
            f"sglang:inter_token_latency_seconds_count{labels} {tokens}.0\n"
            f"sglang:gen_throughput{labels} {1e3 * self.running / self.step_ms}\n"
            f"sglang:num_running_reqs{labels} {self.running}.0\n"
        )
