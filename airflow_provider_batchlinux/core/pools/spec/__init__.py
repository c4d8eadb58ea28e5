"""Specifications of a pool and its parts, as Dag authors write them."""
