"""Pools: specifications, validation, differences, readiness, repair and cleanup."""
