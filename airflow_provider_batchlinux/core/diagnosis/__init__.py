"""What is found when an account is checked."""
