"""Watches as they are seen from outside: read, held to limits, shown in a terminal."""
