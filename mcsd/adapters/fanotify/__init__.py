"""Watching volumes by fanotify(7), behind `mcsd.ports.DiskWatch`."""
