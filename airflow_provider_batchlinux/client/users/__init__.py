"""Add users to compute nodes and remove them."""
