"""Audit records and the loaded policy's rules."""
