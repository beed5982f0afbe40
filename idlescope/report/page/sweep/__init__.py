"""The page of a sweep: its sections, one a file."""
