"""What runs: loops that look, decide by `mcsd.core` and act."""
