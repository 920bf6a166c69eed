"""The socket: what programs and `mcsctl` may ask of the daemon, and what it answers."""
