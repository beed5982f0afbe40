"""Traces as SQLite exports of Nsight Systems."""
