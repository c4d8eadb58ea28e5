"""The command ``batchlinux``, for people at a terminal."""
