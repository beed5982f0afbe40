"""Share a trace: what a copy may tell of who recorded it and where."""
