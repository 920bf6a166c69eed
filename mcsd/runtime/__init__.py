"""The OCI runtime that Docker calls. Standard library only; imports nothing of the daemon."""
