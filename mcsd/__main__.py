"""The program `mcsd`: the daemon, with as little of its libraries as it needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mcsd.footprint import NEVER_USED, PACKAGES, leave_out, load_in_parts, load_whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; give its exit status."""
    leave_out(NEVER_USED)
    load_in_parts(PACKAGES)
    try:
        from mcsd import daemon
    except (ImportError, AttributeError):
        # A release of some library cannot be had in parts: a heavier daemon is better than none.
        load_whole(("mcsd", *PACKAGES))
        from mcsd import daemon
    return daemon.main(argv)


if __name__ == "__main__":
    sys.exit(main())
