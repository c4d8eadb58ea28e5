"""Sensors: wait until the service has reached a state."""
