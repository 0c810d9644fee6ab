"""The overview: is anything broken, does anything wait for me, what is idle, what changed."""
