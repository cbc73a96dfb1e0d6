"""`python -m semlink` is `semlink`."""

from semlink.cli import main

main()
