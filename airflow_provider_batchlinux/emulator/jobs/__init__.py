"""Jobs and tasks: lifecycle and scheduling."""
