"""Turn a Trace into figures: pure functions over columns, defined in README.md under "What the numbers mean"."""
