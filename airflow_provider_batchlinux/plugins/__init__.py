"""The page "Batch pools" in Airflow."""
