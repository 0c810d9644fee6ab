"""Serving runtimes."""
