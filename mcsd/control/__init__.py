"""The loops that run: they observe, decide by `mcsd.core`, and act."""
