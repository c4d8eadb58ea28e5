"""Python functions that run on a node."""
