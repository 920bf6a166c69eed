"""Stand-ins for the outside world, held to the same contracts as the real thing by tests/contracts."""
