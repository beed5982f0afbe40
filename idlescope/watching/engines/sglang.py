"""SGLang's plugin (entry point group `sglang.srt.plugins`): it does nothing unless asked to watch.

SGLang loads it in its main process and in its schedulers; only those with a model runner are
watched. Nothing is imported where the environment does not ask for it.
"""

from __future__ import annotations

from idlescope.watching.engines.asked import watching_is_asked_for


def register() -> None:
    """Watch this process's scheduler, if `IDLESCOPE_WATCH` is set: the entry point."""
    if watching_is_asked_for():
        from idlescope.watching.engines import plugin, sglang_hooks
        from idlescope.watching.engines.versions import SGLANG

        plugin.register(SGLANG, sglang_hooks.install)
