"""What several tests share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

from tests.make import real_traces
from tests.make.deep import DEEP, PROFILE, SEARCH, of

# What is compiled is kept beside its source, whatever the environment says: every worker of xdist and
# hundreds of child processes would compile the same again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

FIXTURES = Path(__file__).resolve().parent / "fixtures"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def _ours(trace: Path) -> str:
    return trace.name.replace("_h200", "")


# Real traces: the project's own, and the others where they are. Of some of those the project has
# copies that are cut down.
OUR_TRACES = sorted(
    path
    for engine in ("vllm", "sglang", "transformers", "loop_eager")
    for path in FIXTURES.glob(f"{engine}*")
    if path.suffix == ".gz"
)
OTHER_TRACES = sorted(
    path
    for path in (SHARED / "traces").glob("*")
    if path.name.endswith((".json.gz", ".sqlite"))
    and _ours(path) not in {ours.name for ours in OUR_TRACES}
)
# Those with a twin: of the same profiler and the same engine, read in the same way.
TWINS = (
    "sglang_8b_async.json.gz",
    "sglang_8b_sync.json.gz",  # the one with stacks
    "transformers_async.json.gz",
    "vllm_8b_async.json.gz",  # vllm_1b_async
    "vllm_1b_sync.json.gz",
    "sglang_1b_sync.json.gz",
    "nsys_torchrun_2gpu_before.sqlite",  # nsys_2gpu_h100
)
REAL_TRACES = [
    pytest.param(path, id=path.name)
    for path in (*OUR_TRACES, *OTHER_TRACES)
    if DEEP or path.name not in TWINS
]

# The files that take longest, each long wait beside much work: they go first, so that the workers of
# xdist end together. By itself it begins with files of many tests, and ends with one long file alone.
LONGEST = (
    "test_notebooks.py",
    "report/page/test_page.py",
    "export/perfetto/test_engine.py",
    "report/page/test_looks.py",
    "engine/devices/test_cpu.py",
    "cli/test_sweep.py",
    "experiment/test_run.py",
    "cli/test_view.py",
    "engine/devices/test_host_profile.py",
    "capture/transformers/test_serve.py",
    "analysis/ranks/test_cluster.py",
    "export/perfetto/test_writer.py",
    "cli/test_run.py",
    "export/test_convert.py",
    "test_screenshots.py",
    "experiment/test_sweep.py",
    "watching/ways/test_activity.py",
    "trace/kineto/test_scrub.py",
    "analysis/comparison/test_noise.py",
    "analysis/prediction/test_replays.py",
    "test_real_traces.py",
    "capture/server/test_capture.py",
    "cli/test_ending.py",
    "capture/transformers/test_hook.py",
)
PLACES = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}

# A machine with other work is slow; the examples are the same each time, but for a search.
settings.register_profile(
    PROFILE,
    max_examples=of(25, deep=100),
    deadline=None,
    derandomize=not SEARCH,
    suppress_health_check=(HealthCheck.too_slow,),
)
settings.load_profile(PROFILE)


def pytest_configure(config):
    """Leave files in the order that they are collected in; without xdist they are so anyhow."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One worker more than there are cores: browsers, servers and child processes are waited for."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist reads it
    return len(os.sched_getaffinity(0)) + 1 if sys.platform == "linux" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect without looking for garbage, and never look among what was imported: half a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest."""
    items.sort(key=lambda item: PLACES.get(item.path, len(PLACES)))


@pytest.fixture(scope="session", autouse=True)
def quick_workers():
    """The CPU device's workers are forked, which saves each the import of torch."""
    if sys.platform != "linux" or find_spec("torch") is None:
        yield
        return
    from idlescope.engine.devices.cpu import CpuDevice
    from tests.make.forked_workers import spawn

    with patch.object(CpuDevice, "_spawn", spawn):
        yield


@pytest.fixture(scope="session", autouse=True)
def frozen_imports():
    """What was imported is not looked through after a run that is measured, either: it would melt all."""
    from idlescope.experiment import run_own

    melting_nothing = SimpleNamespace(
        collect=gc.collect, freeze=gc.freeze, unfreeze=lambda: None
    )
    with patch.object(run_own, "gc", melting_nothing):
        yield


@pytest.fixture
def undrawn():
    """Reports are written without their figures."""
    from tests.make.undrawn import figures_undrawn

    with figures_undrawn():
        yield


@pytest.fixture
def real(request, tmp_path_factory) -> Path:
    """A real trace of REAL_TRACES; of a very large one a part, in a search the whole."""
    if SEARCH:
        return request.param
    return real_traces.part(request.param, folder_of_the_run(tmp_path_factory) / "real")


def folder_of_the_run(tmp_path_factory) -> Path:
    """Where what is made once is for every worker of xdist."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture
def shared_traces() -> Path:
    """Real traces, which are not part of the project; tests that use them skip where they are not there."""
    folder = SHARED / "traces"
    if not folder.is_dir():
        pytest.skip("the real traces of ../shared/traces are not on this machine")
    return folder


@pytest.fixture(
    scope="module"
)  # not of the session: while it is there, nothing else may run an event loop
def chromium():
    """A headless Chromium of Debian's, driven by Playwright."""
    if chromium_path() is None:
        assert "CI" not in os.environ, ".ci/run installs chromium"
        pytest.skip(
            "there is no chromium on this machine: apt install chromium-headless-shell"
        )
    with browser() as made:
        yield made


def chromium_path() -> str | None:
    """Where the Chromium is: the one without a window takes a third of the other's CPU time."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@contextmanager
def browser():
    """Start the Chromium that is on this machine."""
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-gpu"]  # fmt: skip
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=chromium_path(), args=quiet, chromium_sandbox=False
        )
        yield made
        made.close()
