"""Blocking calls: run in threads, with limited waiting, and reported if they do not return."""
