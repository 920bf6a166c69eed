"""Reports for the socket, `mcsctl` and the metrics, as pure functions of one `Snapshot`."""
