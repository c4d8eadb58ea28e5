"""Accounts, sessions, retries, rate limits and error translation."""
