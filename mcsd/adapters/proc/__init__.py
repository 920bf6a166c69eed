"""Processes and interfaces, as the kernel shows them."""
