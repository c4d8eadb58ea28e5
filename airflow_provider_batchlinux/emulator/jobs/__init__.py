"""Jobs, job schedules and tasks: lifecycle and scheduling."""
