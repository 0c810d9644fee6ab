"""SQLite: connection, migrations, transactions, the ledger and the lease."""
