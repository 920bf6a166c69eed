"""The ledger, one SQLite database."""
