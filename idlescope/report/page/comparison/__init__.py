"""The page of a comparison: its sections, one a file."""
