"""The queue: candidates before gates and people."""
