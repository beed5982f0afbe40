"""Try `idlescope capture` on real servers: python3 tests/gpu/servers.py OUT vllm|sglang 8b|1b MODE…

For each mode (sync, async) a server with random weights is started, measured bare and then captured
under the same load, and the figures are put into OUT/servers.jsonl: time per step without the
profiler as the load sees it, as the server's counters have it, and what `capture` says. After that
come a capture without traffic, one that Ctrl-C ends, and one whose server dies.

SITE is the folder of the server's packages, for machines where they are not installed, and RUN
where models, logs and traces go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
PORT = 8000
REQUESTS = 32
KEY = "a-key-of-this-test"
SIZES = {  # hidden size, layers, heads, heads of keys and values, inner size
    "8b": (4096, 32, 32, 8, 14336),
    "1b": (2048, 16, 32, 8, 8192),
}


class Load(NamedTuple):
    """So many clients at a time; each sends one request after another, drawn from its own seed."""

    clients: int = REQUESTS
    prompt_tokens: tuple[int, int] = (256, 256)  # the fewest and the most
    tokens: tuple[int, int] = (4000, 4000)


DECODE = Load()  # 256 tokens of context and more; no request ends
LOADS = {
    "decode": DECODE,
    "decode 8": Load(clients=8),
    "mixed": Load(clients=16, prompt_tokens=(200, 4000), tokens=(64, 256)),
}
MODES = {
    "vllm": {"sync": ["--no-async-scheduling"], "async": ["--async-scheduling"]},
    "sglang": {"sync": ["--disable-overlap-schedule"], "async": []},
}


def write_model(folder: Path, size: str) -> None:
    """Write a Llama-shaped model without weights, and a tokenizer of numbered words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    hidden, layers, heads, kv_heads, inner = SIZES[size]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "head_dim": hidden // heads,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
    (folder / "config.json").write_text(json.dumps(config))
    words = {f"t{number}": number for number in range(128256)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t0"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "t1",
        "eos_token": "t2",
        "unk_token": "t0",
        "model_max_length": 131072,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))


def url_of(port: int) -> str:
    """Return the address of a server."""
    return f"http://127.0.0.1:{port}"


URL = url_of(PORT)


def server_command(
    engine: str, model: Path, traces: Path, mode: str, port: int = PORT
) -> list[str]:
    """Return the command of a server that can be profiled."""
    shared = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "m"]
    shared += ["--load-format", "dummy", "--api-key", KEY]
    if engine == "vllm":
        profiler: dict[str, object] = {
            "profiler": "torch",
            "torch_profiler_dir": str(traces),
        }
        profiler["torch_profiler_with_stack"] = False  # as `capture` advises
        command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
        command += ["--max-model-len", "12288", "--gpu-memory-utilization", "0.6"]
        command += ["--no-enable-prefix-caching"]
        command += ["--profiler-config", json.dumps(profiler)]
    else:
        command = ["-m", "sglang.launch_server", "--model-path", str(model)]
        command += ["--context-length", "12288", "--attention-backend", "triton"]
        command += ["--sampling-backend", "pytorch", "--mem-fraction-static", "0.6"]
        command += ["--disable-radix-cache", "--skip-server-warmup", "--enable-metrics"]
    return [sys.executable, *command, *shared, *MODES[engine][mode]]


class Server:
    """A server in a session of its own."""

    def __init__(
        self,
        engine: str,
        model: Path,
        traces: Path,
        mode: str,
        log: Path,
        port: int = PORT,
        more: Sequence[str] = (),
        settings: Mapping[str, str] = MappingProxyType({}),
    ):
        """Start it; `more` are words of its command, `settings` variables of its environment."""
        traces.mkdir(parents=True, exist_ok=True)
        self.url = url_of(port)
        environment = os.environ | {
            "PYTHONPATH": os.environ.get("SITE", ""),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_USE_FLASHINFER_SAMPLER": "0",
            "VLLM_CUSTOM_SCOPES_FOR_PROFILING": "1",
            "SGLANG_TORCH_PROFILER_DIR": str(traces),
            "PYTHONUNBUFFERED": "1",
        }
        environment |= settings
        self.log = log
        self.process = subprocess.Popen(
            [*server_command(engine, model, traces, mode, port), *more],
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    def wait(self, longest_s: float = 240) -> None:
        """Wait until it answers; raise where it died."""
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text()[-3000:])
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"not up after {longest_s} s: {self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End all of its processes."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            for _ in range(20):
                if self.process.poll() is not None:
                    break
                time.sleep(0.5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        time.sleep(2)


async def _serve_load(seconds: float, url: str, chosen: Load) -> float:
    import aiohttp

    arrivals: list[float] = []

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        draw = random.Random(number)
        while True:
            prompt_tokens = draw.randint(*chosen.prompt_tokens)
            body = {
                "model": "m",
                "prompt": [draw.randrange(10, 120000) for _ in range(prompt_tokens)],
                "max_tokens": draw.randint(*chosen.tokens),
                "ignore_eos": True,
                "stream": True,
                "temperature": 0,
            }
            headers = {"Authorization": f"Bearer {KEY}"}
            async with session.post(
                f"{url}/v1/completions", json=body, headers=headers
            ) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    if line.startswith(b"data: {"):
                        arrivals.append(time.perf_counter())

    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        begin = time.perf_counter()
        tasks = [asyncio.create_task(client(session, row)) for row in range(chosen.clients)]
        ended, _ = await asyncio.wait(
            tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
        )
        low, high = begin + 0.25 * seconds, begin + seconds
        for task in tasks:
            task.cancel()
        for task in ended:
            task.result()  # a client only ends by an error
    return sum(low <= arrival < high for arrival in arrivals) / (high - low)


def load(seconds: float, url: str = URL, chosen: Load = DECODE) -> float:
    """Keep requests coming; return tokens/s of the last three quarters of the time."""
    return asyncio.run(_serve_load(seconds, url, chosen))


def idlescope(*words: str, key: str | None = KEY) -> subprocess.Popen[str]:
    """Start the command line of this repository."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = f"{REPOSITORY}:{os.environ.get('SITE', '')}"
    environment["COLUMNS"] = "100"
    if key is not None:
        environment["IDLESCOPE_API_KEY"] = key
    return subprocess.Popen(
        [sys.executable, "-m", "idlescope", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def captured(
    engine: str, traces: Path, *more: str, url: str = URL, key: str | None = KEY
) -> dict:
    """Return what one capture said and took."""
    begin = time.monotonic()
    process = idlescope(
        "capture", url, "--engine", engine, "--traces", str(traces), *more, key=key
    )
    stdout, stderr = process.communicate(timeout=300)
    return {
        "exit_code": process.returncode,
        "stdout": stdout[-6000:],
        "stderr": stderr[-3000:],
        "took_s": round(time.monotonic() - begin, 1),
    }


def under_load(
    seconds: float, url: str = URL, tokens: int = DECODE.tokens[0]
) -> subprocess.Popen[bytes]:
    """Start a load beside this process, of requests that decode so many tokens."""
    words = ["load", str(seconds), url, str(tokens)]
    return subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE)


def try_mode(engine: str, size: str, mode: str, folder: Path) -> dict:
    """Start a server and try everything on it."""
    name = f"{engine}_{size}_{mode}"
    model, traces = folder / f"model-{size}", folder / "traces" / name
    write_model(model, size)
    server = Server(engine, model, traces, mode, folder / f"{name}.log")
    found: dict = {"name": name}
    try:
        begin = time.monotonic()
        server.wait()
        found["up_s"] = round(time.monotonic() - begin, 1)
        load(6)
        found["bare_tokens_per_s"] = [round(load(8)), round(load(8))]
        found["bare_step_ms"] = [
            round(1000 * REQUESTS / rate, 3) for rate in found["bare_tokens_per_s"]
        ]

        beside = under_load(40)
        time.sleep(6)
        found["capture"] = captured(
            engine, traces, "--seconds", "1.5", "--json", "--out", str(folder / name)
        )
        found["no_key"] = captured(engine, traces, "--seconds", "1", key=None)
        beside.kill()
        time.sleep(2)
        found["no_traffic"] = captured(engine, traces, "--seconds", "1")

        beside = under_load(300)
        time.sleep(6)
        process = idlescope(
            "capture", URL, "--engine", engine, "--traces", str(traces), "--seconds", "60"
        )
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
        found["ctrl_c"] = {
            "exit_code": process.returncode,
            "stderr": stderr[-1500:],
            "stdout": stdout[-1500:],
        }
        # the server's profiler is off again: it can be captured once more, now for some steps
        found["steps"] = captured(engine, traces, "--steps", "40")

        process = idlescope(
            "capture", URL, "--engine", engine, "--traces", str(traces), "--seconds", "20"
        )
        time.sleep(5)
        os.killpg(server.process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=120)
        found["server_dies"] = {"exit_code": process.returncode, "stderr": stderr[-1500:]}
        beside.kill()
    except Exception as error:  # what there is so far is worth keeping
        found["error"] = repr(error)[-3000:]
    finally:
        server.kill()
    return found


def main(out: Path, engine: str, size: str, modes: list[str]) -> None:
    """Try each mode, and keep the JSON and the smallest trace of each."""
    out.mkdir(parents=True, exist_ok=True)
    work = Path(os.environ.get("RUN", "servers"))
    for mode in modes:
        found = try_mode(engine, size, mode, work)
        with (out / "servers.jsonl").open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        name = found["name"]
        for path in sorted((work / name).glob("*.json")):
            shutil.copy(path, out / f"{name}-{path.name}")
        for path in sorted((work / "traces" / name).rglob("*")):
            if path.is_file() and path.stat().st_size < 12 << 20:
                shutil.copy(path, out / f"{name}-{path.name}")
        shutil.copy(work / f"{name}.log", out)
        shown = {key: value for key, value in found.items() if key != "capture"}
        print(json.dumps(shown, indent=1)[-3500:], flush=True)
        print(found.get("capture", {}).get("stderr", "")[-1500:], flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "load":
        seconds, url, tokens = float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        print(load(seconds, url, DECODE._replace(tokens=(tokens, tokens))))
    else:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
