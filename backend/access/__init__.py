"""Where a service is reached."""
