"""Time, delays, faults and randomness."""
