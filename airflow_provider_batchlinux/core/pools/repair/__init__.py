"""Decide how to repair the nodes of a pool."""
