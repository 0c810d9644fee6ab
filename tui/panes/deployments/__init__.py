"""Deployments: services with their verdicts, plans, rollbacks."""
