"""The panes; each is a folder of its own."""
