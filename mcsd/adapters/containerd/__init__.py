"""containerd without Docker: the tasks of nerdctl and ctr."""
