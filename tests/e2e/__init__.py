"""The provider under a whole Airflow: scheduler, triggerer, API server; slow, so not part of `make test`."""
