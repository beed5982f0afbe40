"""Watch an engine while it serves: per step, with causes, cheap enough to stay on."""
