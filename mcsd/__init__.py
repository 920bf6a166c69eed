"""mcsd: the SELinux/MCS label daemon for container hosts."""

__version__ = "0.2.0"
