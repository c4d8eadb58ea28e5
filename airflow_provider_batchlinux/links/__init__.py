"""Links from a task in the Airflow UI to the resource it made."""
