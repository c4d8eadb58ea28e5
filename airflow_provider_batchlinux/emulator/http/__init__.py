"""The HTTP application: routing and request checks."""
