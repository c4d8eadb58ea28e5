"""Submit commands as Batch tasks and read their results."""
