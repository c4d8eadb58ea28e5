"""Rules that a request must satisfy."""
