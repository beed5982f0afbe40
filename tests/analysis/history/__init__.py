"""Tests of the history of checks."""
