"""Builders of the inputs of tests."""
