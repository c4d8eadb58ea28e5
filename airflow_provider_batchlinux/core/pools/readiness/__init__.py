"""Decide whether the nodes of a pool are ready."""
