"""The tables of actions, each in the order of help and menu."""
