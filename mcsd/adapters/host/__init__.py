"""The host's files: what they contain, and where engines have their storage."""
