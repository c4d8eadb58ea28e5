"""Resolve an image name to an image reference and a node agent SKU."""
