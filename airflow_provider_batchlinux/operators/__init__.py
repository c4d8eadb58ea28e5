"""Operators: parameters in, one story in execute(), results out."""
