"""The command line over the yard."""
