"""Readers of vulnerability reports, a module a format."""
