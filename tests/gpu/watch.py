"""Does a watch cost what it should, and say what is true? On a GPU:

    python3 tests/gpu/watch.py OUT vllm|sglang MODE…     # sync, async; SIZE=8b|1b
    python3 tests/gpu/watch.py OUT own                   # our own engine and transformers' against their step clocks

For each mode three servers with random weights are started side by side: bare, watched by events,
watched by activity. They are loaded by turns, one at a time. OUT/watch.jsonl gets all figures:

ratio      tokens/s of a watched server to those of the bare one, turn by turn (goals: 0.99 by
           events, 0.97 by activity)
idle       as the watch says it while requests decode, and as it is without a watch: one less the
           device's time per step, as watched, over the bare server's time per step (goal: 1.5 points)

Then each watched server writes a recording that `analyze` reads, and torch.profiler is turned on and
off in the one watched by activity. SITE is the folder of the servers' packages, RUN where models, logs and
recordings go, WAYS which servers are compared ("bare,activity"), ROUNDS and SECONDS how often and how long each is loaded.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import tomllib

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

import servers

from idlescope.capture.server import counters
from idlescope.capture.server.address import KEY_VARIABLE, Server, ServerEngine
from idlescope.capture.server.client import Client
from idlescope.capture.server.step_time import step_of
from idlescope.watching.state import NO_DEMAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from idlescope.engine.devices.base import Device
    from idlescope.engine.loop import Recorder
    from idlescope.trace.model import Operations
    from idlescope.watching.engines.loop import Loop
    from idlescope.watching.watch import Watch

WAYS = tuple(os.environ.get("WAYS", "bare,events,activity").split(","))  # bare comes first
GOAL_RATIO = {"events": 0.99, "activity": 0.97}
GOAL_POINTS = 1.5
SKIPPED = 2  # steps of our own engine that are not compared
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = float(os.environ.get("SECONDS", "10"))
KV_BYTES = 10 << 30  # so that three servers fit beside one another
SMALL = {
    "vllm": ["--kv-cache-memory-bytes", str(KV_BYTES), "--gpu-memory-utilization", "0.25"],
    "sglang": ["--max-total-tokens", "140000", "--mem-fraction-static", "0.8"],
}
WORK = Path(os.environ.get("RUN", "watched"))


def plugin_folder() -> Path:
    """Write what an installed idlescope would have told of its entry points; return its folder."""
    project = tomllib.loads((servers.REPOSITORY / "pyproject.toml").read_text())["project"]
    folder = WORK / "entry_points"
    info = folder / f"idlescope-{project['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    name, version = project["name"], project["version"]
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines.append(f"[{group}]")
        lines += [f"{entry} = {place}" for entry, place in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


class Watched:
    """A server, watched or bare, and what its watch says."""

    def __init__(
        self,
        engine: str,
        size: str,
        mode: str,
        way: str,
        port: int,
        more: Sequence[str] | None = None,
        site: str = os.environ.get("SITE", ""),
    ):
        """Start it; `more` are words of its command, else those that let three servers fit."""
        self.name = f"{engine}_{size}_{mode}_{way}"
        self.engine, self.size, self.mode, self.way = engine, size, mode, way
        self.folder = WORK / "watches" / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        paths = [str(plugin_folder()), str(servers.REPOSITORY), site]
        settings = {"PYTHONPATH": os.pathsep.join(paths)}
        settings["IDLESCOPE_WATCH"] = way if way in GOAL_RATIO else "0"
        settings["IDLESCOPE_WATCH_FOLDER"] = str(self.folder.resolve())
        self.log = WORK / f"{self.name}.log"
        model, self.traces = WORK / f"model-{size}", WORK / "traces" / self.name
        if not model.exists():
            servers.write_model(model, size)
        words = SMALL[engine] if more is None else more
        self.server = servers.Server(
            engine, model, self.traces, mode, self.log, port, words, settings
        )

    @property
    def counting(self) -> Client:
        """Return what asks the server for its counters."""
        server = Server(self.server.url, ServerEngine(self.engine))
        return Client(server, {KEY_VARIABLE: servers.KEY})

    def processes(self) -> list[dict]:
        """Return what the watched processes of the server say of themselves."""
        found = sorted(self.folder.glob("*.json"))
        return [json.loads(path.read_text()) for path in found if path.stem.isdecimal()]

    def state(self) -> dict | None:
        """Return the state of the one device that is watched; None: there is none."""
        for process in self.processes():
            with urllib.request.urlopen(f"{process['url']}/state", timeout=5) as answer:  # noqa: S310
                state = json.load(answer)
            for device in state["devices"]:
                return device | {"url": process["url"], "recordings": state["recordings"]}
        return None

    def loaded(
        self, seconds: float = SECONDS, chosen: servers.Load = servers.DECODE
    ) -> dict:
        """Load it; return the tokens/s, and what the watch and the server counted in most of the time.

        Clients may see less than the engine does, whose front end lags behind: `counted_ms` tells.
        """
        readings = []
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(servers.load, seconds, self.server.url, chosen)
            time.sleep(0.35 * seconds)
            before = self.state()
            for wait_s in (0.0, *[0.11 * seconds] * 5):
                time.sleep(wait_s)
                readings.append(counters.read(self.counting))
            after = self.state()
            rate = load.result()
        time.sleep(1)
        counted = step_of(ServerEngine(self.engine), [each for each in readings if each])
        found = {"tokens_per_s": rate, "step_ms": 1000 * chosen.clients / rate}
        found["counted_ms"] = counted and counted.step_ms
        if before is not None and after is not None:
            found["watched"] = between(before, after)
        return found

    def post(self, url: str) -> str:
        """Post nothing to an address; return the answer."""
        key = {"Authorization": f"Bearer {servers.KEY}"}
        request = urllib.request.Request(url, b"", key, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.read().decode()

    def profiled(self) -> dict:
        """Turn the server's profiler on and off under load; return what the watch says after."""
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(servers.load, 25, self.server.url)
            time.sleep(3)
            self.post(f"{self.server.url}/start_profile")
            time.sleep(1)
            self.post(f"{self.server.url}/stop_profile")
            time.sleep(1.5)
            before = self.state()
            load.result()
        after = self.state()
        if before is None or after is None:
            return {}
        return between(before, after) | {"off": after["off"], "notes": after["notes"]}

    def recorded(self, out: Path) -> dict:
        """Have a recording written, and analyze it."""
        state = self.state()
        if state is None:
            return {}
        written = json.loads(self.post(f"{state['url']}/record"))["recordings"]
        folder = Path(written[-1])
        paths = [str(servers.REPOSITORY), os.environ.get("SITE", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        environment["COLUMNS"] = "110"
        analyzed = subprocess.run(
            [sys.executable, "-m", "idlescope", "analyze", str(folder)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        kept = shutil.make_archive(str(out / self.name), "gztar", folder)
        return {
            "folder": str(folder),
            "archive": kept,
            "exit_code": analyzed.returncode,
            "said": (analyzed.stdout + analyzed.stderr)[-4000:],
        }


def between(before: dict, after: dict) -> dict:
    """Return what was counted between two states of a watch."""

    def grown(name: str) -> int:
        return (after[name] or 0) - (before[name] or 0)

    steps = sum(after["steps"].values()) - sum(before["steps"].values())
    busy_ns, watched_ns = grown("busy_ns"), grown("watched_ns")
    causes_before = before["idle_ns"] or {}
    idle_ns = {
        cause: ns - causes_before.get(cause, 0)
        for cause, ns in (after["idle_ns"] or {}).items()
    }
    host_ns = {
        phase: ns - before["host_ns"].get(phase, 0)
        for phase, ns in after["host_ns"].items()
    }
    told = grown("launched_told")
    per_step = 1e6 * max(steps, 1)
    own_ns = grown("own_idle_ns")
    no_demand_ns = idle_ns.get(NO_DEMAND, 0)
    demand_ns = watched_ns - no_demand_ns  # the load may begin within it
    return {
        "steps": steps,
        "watched_s": watched_ns / 1e9,
        "busy_ms_per_step": busy_ns / per_step,
        "idle_pct": 100 * (sum(idle_ns.values()) - no_demand_ns) / max(demand_ns, 1),
        "idle_without_watch_pct": 100
        * (sum(idle_ns.values()) - no_demand_ns - own_ns)
        / max(demand_ns - own_ns, 1),
        "own_idle_ms_per_step": own_ns / per_step,
        "idle_ms_per_step": {cause: ns / per_step for cause, ns in idle_ns.items() if ns},
        "host_ms_per_step": {phase: ns / per_step for phase, ns in host_ns.items() if ns},
        "launched_early_pct": 100 * grown("launched_early") / told if told else None,
        "overhead_us_per_step": grown("overhead_ns") / 1e3 / max(steps, 1),
        "settling_us_per_step": grown("settling_ns") / 1e3 / max(steps, 1),
        "batching": after["batching"],
        "foretold": after["asynchronous"],
        "lost": grown("steps_lost"),
        "tokens": grown("tokens"),
        "way": after["way"],
        "notes": after["notes"],
    }


def try_mode(engine: str, size: str, mode: str, out: Path) -> dict:
    """Start the servers of one mode and load them by turns."""
    found: dict = {"engine": engine, "size": size, "mode": mode, "rounds": []}
    started: list[Watched] = []
    begin = time.monotonic()
    try:
        for number, way in enumerate(WAYS):
            started.append(Watched(engine, size, mode, way, servers.PORT + number))
            time.sleep(3)
        for watched in started:
            watched.server.wait(360)
        found["up_s"] = round(time.monotonic() - begin, 1)
        print(f"{engine} {mode}: up after {found['up_s']} s", flush=True)
        for watched in started:
            servers.load(4, watched.server.url)
        for number in range(ROUNDS):
            turn = started if number % 2 == 0 else started[::-1]
            found["rounds"].append({watched.way: watched.loaded() for watched in turn})
        for watched in started[1:]:
            profiles = ("profiled",) if watched.way == "activity" else ()
            for what in ("recorded", *profiles):
                try:
                    arguments = (out,) if what == "recorded" else ()
                    found[f"{what} {watched.way}"] = getattr(watched, what)(*arguments)
                except Exception as error:  # what there is so far is worth keeping
                    found[f"{what} {watched.way}"] = repr(error)[-500:]
    except Exception as error:
        found["error"] = repr(error)[-3000:]
    finally:
        for watched in started:
            watched.server.kill()
            lines = watched.log.read_text(errors="replace").splitlines()
            found[f"log {watched.way}"] = [
                line[-400:] for line in lines if "idlescope" in line.lower()
            ][:20]
            if "error" in found:
                found[f"tail {watched.way}"] = lines[-25:]
            shutil.copy(watched.log, out)
    return found


def summary(found: dict) -> str:
    """Return the figures of a mode as a table."""
    rounds = found["rounds"]
    lines = [f"== {found['engine']} {found['size']} {found['mode']}"]
    if not rounds:
        return "\n".join([*lines, found.get("error", "nothing was measured")])
    bare_ms = median(turn["bare"]["step_ms"] for turn in rounds)
    lines.append(f"bare {bare_ms:.3f} ms per step, over {len(rounds)} rounds")
    for way in WAYS[1:]:
        ratio = median(
            turn[way]["tokens_per_s"] / turn["bare"]["tokens_per_s"] for turn in rounds
        )
        line = f"{way:9} ratio {ratio:.4f} (goal {GOAL_RATIO[way]})"
        watched = [turn[way]["watched"] for turn in rounds if "watched" in turn[way]]
        if watched:
            idle = median(row["idle_pct"] for row in watched)
            busy_ms = median(row["busy_ms_per_step"] for row in watched)
            without = 100 * (1 - busy_ms / bare_ms)
            line += (
                f"  idle {idle:.2f} % watched, {without:.2f} % by {busy_ms:.3f} ms of device over "
                f"the bare step: {idle - without:+.2f} points (goal {GOAL_POINTS})"
            )
        lines.append(line)
        for row in watched[:1]:
            lines += [f"          {key}: {value}" for key, value in row.items()]
    for key, value in found.items():
        if key.startswith(("log ", "tail ", "recorded ", "profiled ", "error")):
            lines.append(f"{key}: {json.dumps(value, indent=1)[:3000]}")
    return "\n".join(lines)


def unknown_engine(way: str) -> Loop:
    """Watch whatever runs in this process by its graph replays and waits."""
    from idlescope.watching.engines.loop import Loop
    from idlescope.watching.engines.unknown import UnknownEngine
    from idlescope.watching.watch import Watch

    def start(device: int | None, rank: int | None) -> Watch:
        return Watch(way=way, device=device, steps=100_000, folder=WORK, engine="unknown")

    loop = Loop(start)
    UnknownEngine(loop).install()
    return loop


def transformers_engine(way: str) -> Loop | None:
    """Watch transformers' continuous batching in this process."""
    from idlescope.watching.engines.transformers import watch_transformers

    os.environ["IDLESCOPE_WATCH"] = way
    os.environ["IDLESCOPE_WATCH_STEPS"] = "100000"
    os.environ["IDLESCOPE_WATCH_FOLDER"] = str(WORK)
    return watch_transformers()


def run_own(engine: str, mode: str, way: str) -> dict:
    """Run our own engine or transformers', watched or bare; DEVICE=cuda, SIZE=8b, TOKENS=500.

    Ours is watched as an unknown one is, or by what its recorder is told ("recorder").
    """
    import idlescope
    from idlescope.watching import own_engine

    watches: list[Watch] = []
    loop: Loop | None = None

    @contextmanager
    def watched(device: Device, recorder: Recorder) -> Iterator[Recorder]:
        if way != "recorder":
            yield recorder
            return
        telling = own_engine.watch_engine(device, recorder, steps=100_000, folder=WORK)
        watches.append(telling.watch)
        yield telling

    if way == "events":
        attach = transformers_engine if engine == "transformers" else unknown_engine
        loop = attach(way)
    config = idlescope.RunConfig(
        engine=engine,
        model=os.environ.get("SIZE", "8b"),
        device=os.environ.get("DEVICE", "cuda"),
        mode=mode,
        batch_size=32,
        prompt_tokens=256,
        tokens=int(os.environ.get("TOKENS", "500")),
    )
    result = idlescope.run(config, watched=watched).modes[mode]
    steps = len(result.analysis.steps)
    found = {"engine": engine, "mode": mode, "way": way, "steps": steps}
    found |= decoding(result.trace.operations, steps, "")
    print(json.dumps(found), flush=True)  # kept, should what follows fail
    if loop is not None and loop.watch is not None:
        watches.append(loop.watch)
    for seen in watches:
        time.sleep(1.5)
        device = seen.state().devices[0]
        found |= {"off": device.off, "notes": device.notes, "seen": device.steps}
        found["batching"] = device.batching
        found["overhead_us_per_step"] = device.overhead_ns / 1e3 / steps
        found |= decoding(seen.trace().operations, steps, "watched_")
    return found


def decoding(operations: Operations, steps: int, prefix: str) -> dict:
    """Return the figures of the last steps of a run but the first of them, from their operations.

    Those are prefill, which has no graph that a watch would see, and what follows it. The window
    goes from the first operation of the first step to the last operation of all.
    """
    from idlescope.analysis.idle.occupancy import occupancy

    known = operations.step >= 0
    if not known.any():
        return {f"{prefix}operations": "none of a known step"}
    counted = steps - SKIPPED
    ours = known & (operations.step > int(operations.step.max()) - counted)
    window = int(operations.start[ours].min()), int(operations.end[ours].max())
    seen = occupancy(operations, window)
    return {
        f"{prefix}step_ms": seen.window_ns / 1e6 / counted,
        f"{prefix}idle_pct": 100 * seen.idle_ns / seen.window_ns,
        f"{prefix}compute_idle_pct": 100 * seen.compute_idle_ns / seen.window_ns,
        f"{prefix}operations": int(ours.sum()),
    }


OWN_RUNS = (
    ("idlescope", "bare"),
    ("idlescope", "recorder"),
    ("idlescope", "events"),
    ("transformers", "bare"),
    ("transformers", "events"),
)


def own(out: Path) -> None:
    """Run our own engine and transformers' in each mode, each time in a process of its own."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)
    }
    chosen = os.environ.get("OWN", "idlescope,transformers").split(",")
    runs = [(engine, way) for engine, way in OWN_RUNS if engine in chosen]
    for (engine, way), mode in itertools.product(runs, ("sync", "async")):
        name = f"{engine}_{mode}_{way}"
        run = subprocess.run(
            [
                sys.executable,
                "-X",
                "faulthandler",
                __file__,
                str(out),
                "own",
                engine,
                mode,
                way,
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        (out / f"own_{name}.err").write_text(run.stderr)
        last = (run.stdout.splitlines() or ["{}"])[-1]
        if run.returncode:
            last = json.dumps(json.loads(last) | {"exit_code": run.returncode})
        with (out / "own.jsonl").open("a") as lines:
            lines.write(last + "\n")
        print(name, last, run.stderr[-1500:] if run.returncode else "", flush=True)


def main(out: Path, engine: str, modes: list[str]) -> None:
    """Try each mode."""
    out.mkdir(parents=True, exist_ok=True)
    WORK.mkdir(parents=True, exist_ok=True)
    size = os.environ.get("SIZE", "8b")
    if engine == "own":
        if modes:
            print(json.dumps(run_own(*modes)), flush=True)
        else:
            own(out)
        return
    for mode in modes or ["sync", "async"]:
        found = try_mode(engine, size, mode, out)
        with (out / "watch.jsonl").open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        print(summary(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
