"""SELinux, by libselinux, libsemanage and netlink."""
