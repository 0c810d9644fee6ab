"""Commands, a module a room. Each has `add_to`, which hangs its commands into the tree."""
