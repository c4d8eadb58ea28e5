"""A sweep of an account: find what is no longer needed, and remove it."""
