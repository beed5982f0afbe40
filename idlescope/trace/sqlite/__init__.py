"""SQLite files, read without being written to."""
