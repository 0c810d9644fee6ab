"""GPUs: a wall of gauges, and who holds them."""
