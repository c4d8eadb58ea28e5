"""What `make release` runs: distributions built and checked, and what is against a release."""
