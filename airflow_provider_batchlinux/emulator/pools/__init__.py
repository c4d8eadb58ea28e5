"""Allocation of pools, and their lifecycle."""
