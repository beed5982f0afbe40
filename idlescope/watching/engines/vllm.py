"""vLLM's plugin (entry point group `vllm.general_plugins`): it does nothing unless asked to watch.

vLLM loads it in every process; only those with a model runner are watched. Nothing is imported
where the environment does not ask for it.
"""

from __future__ import annotations

from idlescope.watching.engines.asked import watching_is_asked_for


def register() -> None:
    """Watch this process's model runner, if `IDLESCOPE_WATCH` is set: the entry point."""
    if watching_is_asked_for():
        from idlescope.watching.engines import plugin, vllm_hooks
        from idlescope.watching.engines.versions import VLLM

        plugin.register(VLLM, vllm_hooks.install)
