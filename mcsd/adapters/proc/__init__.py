"""Processes and network interfaces, from the kernel."""
