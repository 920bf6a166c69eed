"""`mcsd-fleet`: speaks to etcd for mcsd, which itself speaks to no network."""
