"""Rules, catalogue, classification and tag order."""
