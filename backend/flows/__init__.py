"""What crosses rooms, and the one gate to every mutation."""
