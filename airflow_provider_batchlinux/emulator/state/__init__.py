"""Records, their store, and what persists on disk."""
