"""The daemon's state: the single writer of the ledger, and the last observations."""
