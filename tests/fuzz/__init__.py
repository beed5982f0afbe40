"""A mutational fuzzer over every reader; `python -m tests.fuzz --help`."""
