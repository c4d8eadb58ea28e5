"""Commands as Batch jobs and tasks."""
