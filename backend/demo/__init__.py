"""The demo yard's servers: registry, cluster and GPUs on loopback. Imports nothing of the domain."""
