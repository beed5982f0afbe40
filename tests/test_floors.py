"""The house stands: imports point down only, and no circle of files is left (idlescope/README.md)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "idlescope"

# The floor of each room; a room imports from its own floor and from those below it.
FLOORS = {
    "palette": 0, "errors": 0, "plain_files": 0, "children": 0, "hardware": 1, "models": 1, "trace": 2, "analysis": 3, "capture": 4,
    "engine": 4, "doctor": 5, "experiment": 5, "export": 6, "report": 6, "profiling": 7, "figures": 7, "parts": 7,
    "pytest_plugin": 7, "agents": 7, "watching": 7, "cli": 8,
}  # fmt: skip
# Rooms of one floor that know each other, in one direction.
BESIDE = {("capture", "engine"), ("report", "export"), ("experiment", "doctor")}


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """Return the modules of the package that a module imports, in functions and for types, too."""
    known = modules()
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    inner = {target for target in found if target in known and target != name}
    # `from package import module` needs the package's own file only where that imports something
    return frozenset(inner - {"idlescope"})


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


FACES = ("", "__main__")  # the package's own face may show what any room has


def test_every_module_is_in_a_room_whose_floor_is_known():
    assert {room(name) for name in modules()} - {*FACES} == set(FLOORS)


@pytest.mark.parametrize("here", FLOORS)
def test_imports_point_down(here):
    lower = {there for there, floor in FLOORS.items() if floor < FLOORS[here]}
    beside = {there for start, there in BESIDE if start == here}
    wrong = [
        f"{name} imports {target}, which is not below it"
        for name in sorted(modules())
        if room(name) == here
        for target in sorted(imports(name))
        if room(target) not in {here, *lower, *beside}
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle_of_files():
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            raise AssertionError(
                "circle: " + " -> ".join([*path[path.index(name) :], name])
            )
        if name in done:
            return
        path.append(name)
        for target in sorted(imports(name)):
            if not target.startswith(f"{name}.") and not name.startswith(f"{target}."):
                visit(target)
        path.pop()
        done.add(name)

    for name in sorted(modules()):
        if name != "idlescope":
            visit(name)


def test_every_room_says_what_it_is_for():
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
