"""Engines for the tests: fakes that are imported as the true ones are, and what their watch took down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from idlescope.errors import ConfigError
from idlescope.watching import patching
from idlescope.watching.engines import plugin
from idlescope.watching.rows import COLLECTION
from tests.make.fake_engines import SGLANG, VLLM, write_engine


class FakeEngine:
    """A fake engine in this process, and its plugin."""

    def __init__(self, package: str, files: dict[str, str], folder: Path):
        self._package, self._files, self._folder = package, files, folder
        self._seen = (0, 0, 0)  # rows that were told already

    def write(self, version: str, **changes: str) -> None:
        """Write it; `changes` are files of other text, by the last part of their names."""
        files = {
            name: changes.get(Path(name).stem, text) for name, text in self._files.items()
        }
        write_engine(self._folder, files, version)

    def module(self, name: str) -> ModuleType:
        """Import a module of it."""
        return import_module(f"{self._package}.{name}")

    def register(self) -> None:
        """Load its plugin, as the engine does."""
        import_module(f"idlescope.watching.engines.{self._package}").register()

    @property
    def loop(self):
        """The loop that its hooks tell of."""
        return plugin._REGISTERED[self._package]

    def took_down(self) -> tuple[list[tuple], list[str], list[str]]:
        """Return the steps (kind, tokens, requests), the calls and the phases that are new."""
        watch = self.loop.watch
        watch.settle()  # another thread takes the rows once a second
        names = list(watch.rows.names)
        kept = watch._ring.tables()
        steps = list(
            zip(
                *(kept.steps[n].tolist() for n in ("kind", "tokens", "requests")),
                strict=True,
            )
        )
        calls = [names[code] for code in kept.calls["name"]]
        phases = [names[code] for code in kept.phases["name"] if code != COLLECTION]
        seen, self._seen = self._seen, (len(steps), len(calls), len(phases))
        return steps[seen[0] :], calls[seen[1] :], phases[seen[2] :]


class EarlyStarts:
    """Stands for CUPTI turned on early: counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None:
        """Be turned on; there is no CUPTI here."""
        self.count += 1
        raise ConfigError("no libcupti was found")


@pytest.fixture
def early_starts(monkeypatch) -> EarlyStarts:
    """Have `IDLESCOPE_WATCH=activity`, and say how often CUPTI was turned on early."""
    from idlescope.watching.ways import cupti

    starts = EarlyStarts()
    monkeypatch.setenv("IDLESCOPE_WATCH", "activity")
    monkeypatch.setattr(cupti, "EARLY", starts)
    return starts


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Iterator[dict[str, FakeEngine]]:
    """Give both fakes, watched by the host's clock; nothing of them stays."""
    monkeypatch.setenv("IDLESCOPE_WATCH", "host")
    monkeypatch.setenv("IDLESCOPE_WATCH_FOLDER", str(tmp_path / "watches"))
    monkeypatch.setattr(plugin, "installed", lambda package: "")
    monkeypatch.setattr(plugin, "_REGISTERED", {})
    monkeypatch.syspath_prepend(tmp_path / "engines")
    monkeypatch.setattr(patching, "_FINDER", patching._Finder())
    meta_path = list(sys.meta_path)
    yield {
        "vllm": FakeEngine("vllm", VLLM, tmp_path / "engines"),
        "sglang": FakeEngine("sglang", SGLANG, tmp_path / "engines"),
    }
    for loop in plugin._REGISTERED.values():
        if loop.watch is not None:
            loop.watch.close()
    sys.meta_path[:] = meta_path
    for name in list(sys.modules):
        if name.split(".")[0] in ("vllm", "sglang"):
            del sys.modules[name]
