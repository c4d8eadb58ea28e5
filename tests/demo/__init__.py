"""The demonstration behind `make demo`: both example Dags on the embedded service, and a report."""
