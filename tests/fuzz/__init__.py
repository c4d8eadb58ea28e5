"""Requests that a description of the API gives rise to, behind `make fuzz`; no part of the tests."""
