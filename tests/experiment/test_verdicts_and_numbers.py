"""A verdict never says what its own numbers contradict: over every fixture, and over runs of every kind."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.verdict.findings import BUSY_IDLE_PCT, VerdictKind
from idlescope.analysis.verdict.verdict import READINGS
from tests.conftest import FIXTURES

TRACES = sorted(
    path
    for path in FIXTURES.iterdir()
    if path.name.endswith((".json.gz", ".sqlite", ".xz"))
    or path.name
    in (
        "nsys_cpu_parquet",
        "vllm_8b_tp2_sync",
        "vllm_8b_watched",
        "vllm_1b_watched",
        "sglang_8b_watched",
    )
)
WITHOUT_DEVICE = ("jax_cpu", "cpu_engine", "nsys_cpu")  # nothing to judge, or "cannot tell"
NUMBER = r"(\d[\d,]*\.?\d*)"
HOST_IS_SLOWER = ("the host is the slower side", "the host still needs longer",
                  "the host needs longer")  # fmt: skip


def number(text: str) -> float:
    return float(text.replace(",", ""))


def causes_contradicted(result) -> list[str]:
    """What the verdict says of the causes of idle time that its figures do not."""
    text, spread, steps = result.verdict.text, result.spread, result.steps
    found = []

    def hold(true: bool, what: str) -> None:
        if not true:
            found.append(f"{what}: {text}")

    causes = causes_apart(result.gaps, result.host_ns)
    del causes[NO_DEMAND]
    idle_ns = result.occupancy.idle_ns
    if "of the rest because" in text:
        idle_ns -= spread.pauses_ns + spread.no_demand_ns
        causes = {name: ns - spread.pauses_cause_ns[name] for name, ns in causes.items()}
        apart_ns = (
            (rf"{NUMBER} % of that for want of requests", spread.no_demand_ns),
            (rf"{NUMBER} % of that in (?:one|\d+) pause", spread.pauses_ns),
        )
        for said, ns in apart_ns:
            match = re.search(said, text)
            share_pct = 100 * ns / result.occupancy.idle_ns
            hold(
                abs(number(match[1]) - share_pct) <= 0.5 if match else share_pct < 1.0, said
            )
        if match := re.search(rf"the rest {NUMBER} ms per step", text):
            rest_ms = idle_ns / len(steps) / 1e6
            hold(abs(number(match[1]) - rest_ms) <= 0.006, "the rest per step")
    for cause, (_, reading) in READINGS.items():
        said = rf"{NUMBER} % of (?:that|the rest) because {re.escape(reading)}"
        if match := re.search(said, text):
            hold(causes[cause] == max(causes.values()), f"{cause} is not the main cause")
            share_pct = 100 * causes[cause] / idle_ns
            hold(abs(number(match[1]) - share_pct) <= 0.5, f"another share of {cause}")
    return found


def contradictions(result) -> list[str]:
    """What the verdict on a device says that its figures do not."""
    kind, text = result.verdict.kind, result.verdict.text
    occupancy, steps = result.occupancy, result.steps
    host_is_longer = int(steps.host.sum()) > int(steps.device.sum())
    found = []

    def hold(true: bool, what: str) -> None:
        if not true:
            found.append(f"{kind}: {what}: {text}")

    # kinds
    if kind in (VerdictKind.HOST_LIMITED, VerdictKind.HOST_BOUND) and len(steps):
        hold(host_is_longer, "the host is not longer")
    if kind == VerdictKind.HOST_EXPOSED:
        hold(not host_is_longer, "the host is longer")
    if kind == VerdictKind.BUSY and result.shared is None:
        hold(result.idle_pct < BUSY_IDLE_PCT, "it idles")
    if kind == VerdictKind.NO_DEMAND and "dummy" not in text:
        hold(2 * result.spread.no_demand_ns >= occupancy.idle_ns, "there was demand")
    if any(words in text for words in HOST_IS_SLOWER):
        hold(host_is_longer, "the host is not the slower side")

    # figures
    if match := re.search(rf"is idle {NUMBER} % of the time", text):
        hold(abs(number(match[1]) - result.idle_pct) <= 0.005, "another idle")
    if match := re.search(rf"of the time, {NUMBER} ms per step", text):
        hold(
            abs(number(match[1]) - occupancy.idle_ns / len(steps) / 1e6) <= 0.005,
            "per step",
        )
    found += causes_contradicted(result)
    if match := re.search(rf"would make it {NUMBER} ms per step instead of {NUMBER}", text):
        hold(number(match[1]) < number(match[2]), "asynchronous batching makes it slower")
    return found


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_of_every_fixture_the_verdict_is_as_its_numbers(path):
    if path.name.startswith(WITHOUT_DEVICE):
        pytest.skip("no device")
    for result in idlescope.analyze(idlescope.open(path)).results:
        part = replace(result.judged_part, verdict=result.verdict)
        assert contradictions(part) == []


# Models from one whose host is the slower side to one whose device is, batches, and loads from one
# at which hardly a request is there to one that the engine cannot keep up with.
MODELS = ("tiny", "1b", "8b", "70b")
BATCHES = (1, 8, 64)
LOADS = ("closed", "poisson:0.5", "poisson:20", "poisson:2000")
MODES = ("sync", "async", "both")
HOSTS = (None, 0.05, 12.0)
GRID = [
    {"model": model, "batch_size": batch, "arrival": load}
    for model, batch, load in product(MODELS, BATCHES, LOADS)
]


def run_contradictions(made) -> list[str]:
    """What the sentence on a run says that its figures do not."""
    said = made.statements.this_engine
    modes, load = made.modes, made.load
    found = []

    def hold(true: bool, what: str) -> None:
        if not true:
            found.append(f"{what}: {said}")

    if any(words in said for words in HOST_IS_SLOWER):
        hold(modes["async"].host_is_longer, "the host is not longer")
    if "the host is not the slower side" in said:
        hold(not modes["async"].host_is_longer, "the host is longer")
    if "hardly waited for the host" in said:
        hold(modes["async"].idle_with_work_pct <= 5.0, "it waited")
    if "waited for requests to arrive" in said:
        hold(modes["async"].no_demand_pct > 5.0, "requests were there")
    if match := re.search(rf"is {NUMBER} times faster", said):
        faster = modes["sync"].total_ns / modes["async"].total_ns
        hold(abs(number(match[1]) - faster) <= 0.0006, "another speed-up")
        hold(load is None, "of a load, total time says nothing")
    if "changes little" in said:
        hold(modes["sync"].total_ns / modes["async"].total_ns < 1.005, "it changes more")
    for (_, reading), cause in zip(READINGS.values(), READINGS, strict=True):
        if match := re.search(rf"because {re.escape(reading)} \({NUMBER} % of it\)", said):
            of_mode = modes.get("sync") or modes["async"]
            causes = causes_apart(of_mode.result.gaps, of_mode.result.host_ns)
            del causes[NO_DEMAND]
            hold(causes[cause] == max(causes.values()), f"{cause} is not the main cause")
    if load is not None:
        for name, mode in modes.items():
            hold(f"{mode.idle_with_work_pct:.2f} %" in said, f"another idle, {name}")
            latency = mode.latencies()["latency_ms"]
            hold(f"{latency.p50:,.1f}" in said and f"{latency.p99:,.1f}" in said, "latency")
            token = mode.latencies()["time_per_output_token_ms"]
            hold(token is None or f"{token.p50:,.1f}" in said, "time per token")
            hold("took" not in said, "of a load, total time says nothing")
        hold("no request was there for" in said, "how long there was none")
    return found


@pytest.mark.parametrize(
    "options", GRID, ids=lambda options: "-".join(map(str, options.values()))
)
def test_of_a_run_of_every_kind_the_verdict_is_as_its_numbers(options):
    number_of_cell = GRID.index(options)
    made = run(
        RunConfig(
            device="modelled:h200",
            tokens=12,
            prompt_tokens=64,
            requests=min(2 * options["batch_size"], 24),
            mode=MODES[number_of_cell % len(MODES)],
            host_ms=HOSTS[number_of_cell // 2 % len(HOSTS)],
            **options,
        )
    )
    assert run_contradictions(made) == []
    for mode in made.modes.values():
        assert contradictions(mode.result) == []
        if (
            options["arrival"] == "poisson:0.5"
        ):  # 48 s at the least of requests of some 0.1 s
            assert (
                mode.result.verdict.kind == VerdictKind.NO_DEMAND or mode.no_demand_pct < 50
            )


def test_a_contradiction_is_found():
    """The check itself: figures of another run do not pass."""
    options = {"device": "modelled:h200", "tokens": 12, "prompt_tokens": 64, "model": "8b"}
    made = run(RunConfig(**options, host_ms=12.0))
    other = run(RunConfig(**options, host_ms=0.05))
    assert run_contradictions(made) == []
    object.__setattr__(other, "statements", made.statements)
    assert len(run_contradictions(other)) >= 2
