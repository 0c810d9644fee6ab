"""Policy, gates, decisions and the curated library."""
