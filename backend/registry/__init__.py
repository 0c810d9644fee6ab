"""OCI distribution client on httpx."""
