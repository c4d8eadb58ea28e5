"""Validation of request bodies beyond their schema, and the defaults of the service."""
