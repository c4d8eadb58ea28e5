"""What `make release` runs: distributions built and checked, and what stands against a release."""
