"""Signatures, SBOMs, licences and vulnerability reports."""
