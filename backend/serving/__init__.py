"""Manifests, plans, snapshots and verdicts of InferenceServices."""
