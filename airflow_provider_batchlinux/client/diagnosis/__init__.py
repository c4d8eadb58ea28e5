"""Find out why an account does not work."""
