"""Hosts that mount the same labelled storage, and whose containers must be kept apart as on one host."""
