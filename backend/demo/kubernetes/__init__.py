"""The Kubernetes API of the demo's cluster: one module for each thing a real API server does with a request."""
