"""Holding SELinux booleans at their configured values, and leased ones only as long as needed."""
