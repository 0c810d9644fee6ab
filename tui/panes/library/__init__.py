"""The library: all that was synchronised."""
