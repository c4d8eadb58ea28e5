"""Reach compute nodes and act on them."""
