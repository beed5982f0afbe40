"""The columnar Trace, its readers, and what the names of spans mean."""
