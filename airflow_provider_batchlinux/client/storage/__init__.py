"""Sign URLs of Azure Storage and keep small blobs there, with the connections of Airflow."""
