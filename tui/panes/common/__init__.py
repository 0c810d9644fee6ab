"""What the overview, the lists and their details share: help, menu, text, details."""
