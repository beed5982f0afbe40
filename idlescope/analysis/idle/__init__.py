"""How idle a device was, and why."""
