"""Scenarios driven by clients of others, each in its own environment: ``make clients``."""
