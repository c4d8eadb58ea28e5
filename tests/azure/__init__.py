"""What `make azure` runs: contract tests and example Dags on a real account, and how it differs from ours."""
