"""Actions on compute nodes, and commands that run on them over SSH."""
