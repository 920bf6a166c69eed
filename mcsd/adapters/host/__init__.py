"""The host's own files: what they contain, where engines keep theirs."""
