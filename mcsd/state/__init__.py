"""What is known: the one writer of the ledger, and what was last seen."""
