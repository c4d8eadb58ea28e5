"""Decorators: a Python function, or the command that it returns, runs on a node."""
