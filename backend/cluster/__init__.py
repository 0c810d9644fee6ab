"""Kubernetes: connection, list and watch, server-side apply, access reviews."""
