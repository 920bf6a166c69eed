"""Reports: what the socket, `mcsctl` and the metrics say, as pure functions of one `Snapshot`."""
