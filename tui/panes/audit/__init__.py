"""The audit log: the ledger and its verification."""
