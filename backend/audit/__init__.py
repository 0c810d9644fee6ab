"""Reading, verifying and exporting the ledger."""
