"""Hooks that record what a run did."""
