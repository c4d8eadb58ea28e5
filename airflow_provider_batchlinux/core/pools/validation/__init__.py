"""Check the REST body of a pool."""
