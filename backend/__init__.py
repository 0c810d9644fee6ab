"""Everything without a screen: rooms, flows, the yard that wires them, and the command line."""
