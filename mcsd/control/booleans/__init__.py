"""Holding SELinux booleans where the configuration wants them, only as long as needed."""
