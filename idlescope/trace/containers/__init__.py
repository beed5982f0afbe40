"""Packed files and archives of traces."""
