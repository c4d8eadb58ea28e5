"""Triggers: the same waits, on the triggerer."""
