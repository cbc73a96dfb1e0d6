"""`python -m semlink` and `semlink`: entry point; keeps Ctrl-C during imports from printing a traceback."""

from __future__ import annotations

import sys

__all__ = ["start"]


def start() -> None:
    """Import the command line and run it; Ctrl-C while it is being imported ends without a traceback."""
    try:
        from semlink.cli.app import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()
