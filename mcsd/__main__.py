"""The program `mcsd`: the daemon."""

from __future__ import annotations

import sys

from mcsd.app.main import main

if __name__ == "__main__":
    sys.exit(main())
