"""The page Batch pools in a whole Airflow and a real browser; slow, so not part of `make test`."""
