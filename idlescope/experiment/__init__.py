"""One experiment: an engine and a recorder make a Trace, the analysis makes figures of it."""
