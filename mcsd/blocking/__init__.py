"""Calls that block: in threads, waited for within bounds, known where they do not return."""
