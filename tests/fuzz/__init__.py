"""Requests that a published description of the API gives rise to, behind `make fuzz`; no part of the tests."""
