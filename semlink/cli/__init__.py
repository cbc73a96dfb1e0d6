"""The `semlink` command: entry point, shared options, and the commands of the contract itself."""
