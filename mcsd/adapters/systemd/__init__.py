"""systemd: notifications, sockets, the journal."""
