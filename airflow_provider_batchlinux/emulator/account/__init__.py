"""The account that is served: its service, its reset, and how it is restored from a state file."""
