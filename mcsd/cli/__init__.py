"""mcsctl, the command."""
