"""Wrap methods of an engine: at once, or when the module that has them is first imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Call = Callable[..., Any]
Wrapping = Callable[[Call], Call]  # makes of a function one that does more

MARK = "__idlescope_watches__"  # an attribute of functions that are wrapped already


def around(before: Call | None = None, after: Call | None = None) -> Wrapping:
    """Return what makes a function be preceded and followed by others, with the same arguments.

    They must not raise: see `engines.loop.harmless`.
    """

    def wrapping(call: Call) -> Call:
        @wraps(call)
        def only_preceded(*arguments: Any, **named: Any) -> Any:
            before(*arguments, **named)  # type: ignore[misc]
            return call(*arguments, **named)

        @wraps(call)
        def followed(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                before(*arguments, **named)
            try:
                return call(*arguments, **named)
            finally:
                after(*arguments, **named)  # type: ignore[misc]

        return only_preceded if after is None else followed

    return wrapping


def wrap(owner: Any, name: str, wrapping: Wrapping) -> bool:
    """Wrap a function of a class or module; return whether there is one. Twice is once."""
    found = vars(owner).get(name)
    if found is None:
        return False
    call = found.__func__ if isinstance(found, staticmethod | classmethod) else found
    if getattr(call, MARK, False):
        return True
    wrapped: Any = wrapping(call)
    setattr(wrapped, MARK, True)
    if isinstance(found, staticmethod | classmethod):
        wrapped = type(found)(wrapped)
    setattr(owner, name, wrapped)
    return True


def when_imported(module: str, then: Callable[[ModuleType], None]) -> None:
    """Call a function with a module: now where it is imported, else when it has been."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        then(loaded)
        return
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    _FINDER.waiting.setdefault(module, []).append(then)


class _Finder(MetaPathFinder):
    """Finds nothing itself: lets what others find be followed by functions that wait for it."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Callable[[ModuleType], None]]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the finders behind this one find, its loader followed."""
        then = self.waiting.pop(name, None)
        if then is None:
            return None
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Followed(spec.loader, then)
                return spec
        return None


class _Followed(Loader):
    """A loader of another, after which functions are called with the module."""

    def __init__(self, loader: Loader, then: list[Callable[[ModuleType], None]]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Do as the other does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Do as the other does; then call the functions."""
        # What asks the module for its loader (`inspect`, `pkgutil`) finds the true one.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for then in self._then:
            then(module)


_FINDER = _Finder()
