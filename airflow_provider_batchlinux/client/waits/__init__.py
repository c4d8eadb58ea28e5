"""Wait for a state; all waits on an account share one poller."""
