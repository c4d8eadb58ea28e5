"""Compare a pool with its specification, and plan updates and resizes."""
