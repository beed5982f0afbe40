"""Turn a Trace into figures: pure functions over columns, defined in README.md beside this file."""
