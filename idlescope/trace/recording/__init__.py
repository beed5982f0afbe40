"""Recordings of idlescope itself."""
